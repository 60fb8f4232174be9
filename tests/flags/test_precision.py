"""Whether products of float32 matrices can run in a program."""

from __future__ import annotations

import pytest

from xf2sdpa.flags.precision import precision_of

HALF = {
    "default dtype": "torch.set_default_dtype(torch.bfloat16)\nnet = Net()\nnet.eval()\nnet(x)",
    "default tensor type": "torch.set_default_tensor_type(torch.cuda.HalfTensor)\nnet = Net()",
    "cast by method": "net = Net().cuda().half()\nnet(x)",
    "cast by to": "net = Net()\nnet.eval()\nnet.to('cuda', torch.bfloat16)\nnet(x)",
    "cast by to, keyword": "net = Net().to(device='cuda', dtype=torch.float16)\nnet(x)",
    "pipeline": "pipe = Pipeline.from_pretrained(name, torch_dtype=torch.float16).to('cuda')\npipe(prompt)",
    "a tokenizer is no model": "tok = AutoTokenizer.from_pretrained(name)\n"
    "net = M.from_pretrained(name, dtype='bfloat16')",
    "autocast around every call": "net = Net().cuda()\n"
    "with torch.autocast('cuda', dtype=torch.bfloat16):\n    y = net(x)",
    "old autocast": "net = Net().cuda()\nwith torch.cuda.amp.autocast():\n    y = net(x)",
    "autocast as a decorator": "@torch.autocast('cuda')\ndef step(x):\n    return net(x)\n\nnet = Net().cuda()",
    "method under autocast": "net = Net().cuda()\nwith autocast('cuda'):\n    y = net.sample(x)",
    "in main": "if __name__ == '__main__':\n    net = Net().cuda().half()\n    net(x)",
    "accelerate": "a = Accelerator(mixed_precision='bf16')\nnet = Net()\nnet.train()\nnet = a.prepare(net)\nnet(x)",
    "Trainer": "args = TrainingArguments(bf16=True)\n"
    "net = M.from_pretrained(n)\nt = Trainer(model=net, args=args)\nt.train()",
    "lightning": "t = pl.Trainer(precision='bf16-mixed')\nnet = Net()\nnet.train()\nt.fit(net)",
}
FLOAT32 = {
    "nothing said": "net = Net()\nnet.eval()\nnet(x)",
    "no model seen": "main()",
    "one of two": "a = Net().cuda().half()\nb = Net().cuda()\na(x)\nb(x)",
    "a condition": "net = Net().cuda()\nif args.half:\n    net.half()\nnet(x)",
    "a choice": "net = Net().cuda()\nnet = net.half() if args.half else net\nnet(x)",
    "an option's dtype": "net = Net().cuda()\nnet.to(weight_dtype)\nnet(x)",
    "cast back": "net = Net().cuda().half()\nnet.float()\nnet(x)",
    "float32 by name": "net = Net().to('cuda', torch.float32)\nnet(x)",
    "autocast by an option": "net = Net().cuda()\nwith torch.autocast('cuda', enabled=args.amp):\n    y = net(x)",
    "autocast off": "net = Net().cuda()\nwith torch.autocast('cuda', enabled=False):\n    y = net(x)",
    "autocast to an option's dtype": "net = Net().cuda()\nwith torch.autocast('cuda', dtype=dtype):\n    y = net(x)",
    "one call outside": "net = Net().cuda()\nwith torch.autocast('cuda'):\n    y = net(x)\nz = net(x)",
    "what a function is called under is not known": "def f(x):\n    return net(x)\nnet = Net().cuda()",
    "mixed precision by an option": "a = Accelerator(mixed_precision=args.mp)\n"
    "net = Net()\nnet.train()\na.prepare(net)",
    "a model that is not prepared": "a = Accelerator(mixed_precision='bf16')\n"
    "net = Net()\nnet = a.prepare(net)\n"
    "vae = V.from_pretrained(n)\nnet.train()\nvae.eval()",
    "a pipeline in its own dtype": "pipe = Pipeline.from_pretrained(name)\npipe(prompt)",
    "no program": "x = (",
}


@pytest.mark.parametrize("how", HALF)
def test_where_all_models_are_half_there_are_none(how: str) -> None:
    precision = precision_of(f"import torch\n\n{HALF[how]}\n")
    assert not precision.float32, precision.why


@pytest.mark.parametrize("how", FLOAT32)
def test_where_one_may_be_float32_there_are(how: str) -> None:
    precision = precision_of(f"import torch\n\n{FLOAT32[how]}\n")
    assert precision.float32, precision.why


def test_the_reason_names_the_model() -> None:
    why = precision_of("import torch\n\na = Net().cuda().half()\nb = Net().cuda()\na(x)\nb(x)\n").why
    assert why == "`b` (line 4) is float32 unless an option or a condition says otherwise"
