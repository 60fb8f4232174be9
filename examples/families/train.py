"""Trains a small model in which five families of attention meet, on noise, and prints the loss of each step.

    python examples/families/train.py --steps 3                                     # needs xformers and a GPU
    xf2sdpa verify examples/families -- python examples/families/train.py --steps 3 --device cpu

The second needs neither: where xformers cannot run, verify lends the program a plain reference of it.
"""

import argparse

import torch
from layers import BiasedAttention, CausalAttention, CrossAttention, ImageAttention, PackedAttention
from torch import nn

WORDS, PROMPT, PATCHES = 1000, 77, 256


class Painter(nn.Module):
    """Reads prompts and captions, looks at an image, and guesses the noise in it."""

    def __init__(self, width=320, heads=5):
        super().__init__()
        self.words = nn.Embedding(WORDS, width)
        self.pixels = nn.Linear(48, width)
        self.class_token = nn.Parameter(torch.randn(1, 1, width))
        self.reader = BiasedAttention(width, heads, 64)
        self.writer = CausalAttention(width, heads)
        self.captions = PackedAttention(width, heads)
        self.look = ImageAttention(width, heads)
        self.heed = CrossAttention(width, width, 8)  # head size 40
        self.noise = nn.Linear(width, 48)
        self.next_word = nn.Linear(width, WORDS)

    def forward(self, patches, prompt, tags, captions):
        """The noise of `[B, 256, 48]` patches, and the words that follow each word of `[B, 77]` prompts."""
        read = self.words(prompt)
        read = read + self.writer(read)
        tagged = self.words(tags)
        tagged = (tagged + self.reader(tagged)).mean(1, keepdim=True)
        lengths = [len(caption) for caption in captions]
        told = self.words(torch.cat(captions)[None])
        told = (told + self.captions(told, lengths)).mean(1, keepdim=True)
        seen = self.pixels(patches) + tagged + told
        seen = torch.cat([self.class_token.expand(len(seen), -1, -1), seen], dim=1)  # 257 tokens
        seen = seen + self.look(seen)
        seen = seen + self.heed(seen, read)
        return self.noise(seen[:, 1:]), self.next_word(read[:, :-1])


def step(model, batch, device):
    """The loss on one batch of noise."""
    patches = torch.randn(batch, PATCHES, 48).to(device)
    prompt, tags = (torch.randint(WORDS, (batch, length)).to(device) for length in (PROMPT, 64))
    captions = [torch.randint(WORDS, (length,)).to(device) for length in (5, 33, 128, 64)]
    with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
        noise, words = model(patches, prompt, tags, captions)
        following = nn.functional.cross_entropy(words.flatten(0, 1).float(), prompt[:, 1:].flatten())
        return nn.functional.mse_loss(noise.float(), patches) + following


def main():
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch", type=int, default=0, help="images a step: 16 on a GPU, 2 on a CPU")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    torch.manual_seed(0)
    model = Painter().to(options.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    batch = options.batch or (16 if options.device == "cuda" else 2)
    for number in range(options.steps):
        loss = step(model, batch, options.device)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        print(f"step {number}: loss {loss.item():.9f}", flush=True)


if __name__ == "__main__":
    main()
