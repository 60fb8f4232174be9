"""The codes that are no rule's: those of the run itself, with the page that `explain` shows for each."""

from __future__ import annotations

import sys
from dataclasses import dataclass

UNPARSABLE = "XF901"
UNREADABLE = "XF902"
UNDECODABLE = "XF903"
UNWRITABLE = "XF904"
CHECK_FAILED = "XF905"
IGNORED = "XF906"
NOT_SELECTED = "XF907"
NOT_EXACT = "XF908"
TOO_DEEP = "XF909"
BROKEN_OFF = "XF910"
NO_NOTEBOOK = "XF911"
ACROSS_CELLS = "XF912"
INSTALLS = "XF149"
IN_HELPER = "XF161"
GUARDED = "XF162"
OWN_FUNCTION = "XF163"
HELPER_CELL = "XF164"
KEPT_OUTPUTS = "XF308"
OUTDATED_RUN = "XF311"
STILL_BOUND = "XF407"
SHIELD = "XF408"
NOTEBOOK = "XF410"
LACKING = "XF412"
MASKS_STAY = "XF413"
WAITS = "XF414"
REQUIREMENT = "XF170"

WISHES = frozenset({IGNORED, NOT_SELECTED, NOT_EXACT})
"""Why a call is left that the user asked to leave."""

FAMILIES = {
    "XF1": "what was done",
    "XF2": "why a call cannot be inline",
    "XF3": "assumptions and notes",
    "XF4": "what is left of xformers",
    "XF5": "H200 flags",
    "XF9": "the run itself",
}
"""The beginnings of codes, and what the codes are about."""

_SEE_HELP = "`xf2sdpa rewrite --check --verbose PATH` says at each place what would help there."
WAYS_OUT = {
    "XF1": "`# xf2sdpa: ignore` on a call leaves it as it is, `--ignore CODE` all calls that the report lists under a "
    "code, `--exclude FILE` a whole file.",
    "XF2": f"{_SEE_HELP} `# xf2sdpa: ignore` on a call leaves it as it is.",
    "XF3": "`--only exact` leaves the calls that rest on an assumption, `# xf2sdpa: ignore` on a call that one. "
    + _SEE_HELP,
    "XF4": f"{_SEE_HELP} Or keep xformers installed for such a file.",
}
"""What to do about a code of a rule, by its family; those of the run have their own."""


RETIRED = (
    "This is a part of rewriting a call, and the call is reported as a whole: under XF101 or XF102, with what it "
    "assumes and needs."
)
"""Why some codes are reported under no longer."""


@dataclass(frozen=True)
class Page:
    """What `explain` says about a code of the run itself."""

    title: str
    reason: str
    example: str
    way_out: str


RUN_CODES = {
    IN_HELPER: Page(
        "the call goes to the helper module",
        "What SDPA must be told is not shown by the function: the number of dimensions, the kind of mask, the dtype. "
        "The message says which. The helper module has the operator with xformers' signature and looks at the inputs "
        "when it runs.",
        "def attend(q, k, v, bias):\n    return memory_efficient_attention(q, k, v, attn_bias=bias)  # what is bias?",
        "Show it where the call is made (`b, n, h, d = q.shape`, or an `assert`), and the next run can write the call "
        "inline. `--no-helper` makes no helper module and leaves such calls.",
    ),
    GUARDED: Page(
        "the import that brings the operator's name has to stay",
        "The call needs the helper module, but its name still comes from xformers: a comment or an option asks to "
        "leave the import, or the guard around it cannot be resolved.",
        "from xformers.ops import memory_efficient_attention  # xf2sdpa: ignore[XF140]\n\n\n"
        "def attend(q, k, v, bias):\n    return memory_efficient_attention(q, k, v, attn_bias=bias)",
        "Take the comment or the option away, or the import out of its guard, and run again.",
    ),
    STILL_BOUND: Page(
        "a rewritten file cannot be imported without xformers",
        "It imports one that still imports xformers at its top level.",
        "from .blocks import Block  # blocks.py keeps `import xformers.components`",
        "Rewrite the other file by hand, import it only where it is needed, or keep xformers for it.",
    ),
    SHIELD: Page(
        "a flag that says whether xformers is installed stays as it was",
        "A use of the installed package that xf2sdpa cannot rewrite is reached only where the flag is set. Set for "
        "good, it would make that use fail once xformers is gone. Until then nothing changes; without xformers, the "
        "code takes the path that it took there before.",
        'def describe():\n    return metadata.version("xformers") if HAS_XFORMERS else "no xformers"',
        "Rewrite or delete that use, or give it a flag of its own, and run again.",
    ),
    INSTALLS: Page(
        "a line of a notebook installs xformers no more",
        "Nothing that the notebook runs needs the package after the rewrite: no call, no import, no line that names "
        "it, no program that it starts, no module of the project that it imports. Only xformers goes; a line that "
        "installs nothing else goes whole. A library of the notebook that uses xformers by itself would not be seen.",
        "!pip install -q xformers==0.0.22 triton  # becomes: !pip install -q triton",
        "`--ignore XF149` leaves such lines as they are.",
    ),
    HELPER_CELL: Page(
        "the helper module stands in a cell of the notebook",
        "No package stands beside the notebook from which it could import the module. The cell writes it as a file "
        "where the kernel looks first, and stands above the first cell that imports it. It is yours: xf2sdpa updates "
        "it only if nobody edited it.",
        "%%writefile _attention_compat.py",
        "`--no-helper` makes none and leaves the calls that need it. Or show the number of dimensions and the kind of "
        "mask where the call is made, so that it can be written inline.",
    ),
    KEPT_OUTPUTS: Page(
        "outputs of edited cells are those of the code before",
        "A rewrite changes the source of cells and nothing else, so what a run printed below a cell stays.",
        "[3]: out = F.scaled_dot_product_attention(…)  # and below it what the old code printed",
        "Run the notebook again, or clear its outputs.",
    ),
    NOTEBOOK: Page(
        "a notebook names xformers where it is not rewritten",
        "Code cells are rewritten like files. A magic, a shell line or a cell that is no Python stays as it is; while "
        "it names xformers, the package may be needed. A line that installs it stays while something may need it: the "
        "message says what. What stands in outputs, prose, comments and strings does not count.",
        "!python train.py --xformers",
        "Edit the line by hand: drop an install line that is for nothing else, give a program its option for SDPA. "
        "Or keep xformers for it, or `--exclude` the notebook.",
    ),
    REQUIREMENT: Page(
        "a requirement file is edited",
        "Nothing in the tree needs xformers any more, so its line goes from the requirement files in the folders of "
        "rewritten files and above; torch's lower bound is raised where it admits less than the new code needs. "
        "Comments, markers, hashes and order stay. An extra that held only xformers stays, empty, as people install by "
        "its name.",
        "# requirements.txt\ntorch>=1.13\nxformers==0.0.22",
        "`--requirements keep` leaves them as they are and lists the lines.",
    ),
    LACKING: Page(
        "the helper module that stands lacks a name",
        "A person has edited the helper module, or written a module of that name, and it does not have what this file "
        "needs from it. It is never overwritten, so the calls that need it stay with xformers.",
        "# _attention_compat.py\ndef attend(q, k, v): ...  # and no memory_efficient_attention",
        "Write the names into it (`xf2sdpa.compat` has them), or rename or delete it, and run again: a new one comes.",
    ),
    WAITS: Page(
        "names wait for the helper module",
        "The helper module has these names, and there is none yet: a run with `--no-new-files`, as of a hook, makes no "
        "file. So they stay with xformers.",
        "from xformers.ops import SwiGLU\n\nlayer = SwiGLU(4, 8)",
        "Run `xf2sdpa rewrite .` at the top of the project, and add the file.",
    ),
    MASKS_STAY: Page(
        "mask objects stay with xformers, as its operator may be handed them",
        "A call of xformers' operator stays somewhere in the project, and its `attn_bias` may come from another "
        "function or file. The operator takes no mask objects but xformers' own, so none becomes the helper's. The "
        "same holds where an `isinstance` asks for the class of a mask that comes from a file which is not rewritten. "
        "Calls that are rewritten take both kinds.",
        "out = memory_efficient_attention(q, k, v, attn_bias=bias)  # xf2sdpa: ignore",
        "Let the rewrite have the call that the message names, or pass it None or a tensor; or rewrite all files of "
        "the project at once. Then run again.",
    ),
    UNPARSABLE: Page(
        "the file does not parse",
        "It is not Python that the interpreter which runs xf2sdpa can parse: Python 2, a template, a newer syntax.",
        'print "attention"',
        f"This is Python {sys.version_info[0]}.{sys.version_info[1]}: for the syntax of a newer one, run xf2sdpa with "
        "that Python. Else mend the file, or exclude it with `--exclude FILE`.",
    ),
    UNREADABLE: Page(
        "the file cannot be read",
        "The system refused to hand it out, or it changed while it was being worked on.",
        "chmod 000 model.py",
        "Look at its permissions, run again, or exclude it with `--exclude FILE`.",
    ),
    UNDECODABLE: Page(
        "the file's bytes are not in the encoding that it declares",
        "Without a declaration that is UTF-8.",
        "# coding: ascii\nname = 'café'",
        "Mend the declaration, or save the file in the encoding that it names.",
    ),
    UNWRITABLE: Page(
        "the file cannot be written",
        "The system refused it, or the file changed while the run went on. It is as it was.",
        "chmod a-w model.py",
        "Look at the permissions of the file and its folder, and run again.",
    ),
    CHECK_FAILED: Page(
        "the rewrite did not pass its own check",
        "The new text must parse, be the old one to the byte outside the edits, and give a second run nothing to do. "
        "It was not, so the file is as it was. This is a defect of xf2sdpa.",
        "model.py:1:1: XF905 error   the rewrite failed its self-check: a second run would change the file again",
        "Please report it with the call in question; `--exclude FILE` passes it over until then.",
    ),
    IGNORED: Page(
        "a comment asks to leave the call alone",
        "`# xf2sdpa: ignore` on one of its lines does so always, with codes in brackets only under these.",
        "out = xops.memory_efficient_attention(q, k, v)  # xf2sdpa: ignore[XF101]",
        "Delete the comment, and run again.",
    ),
    NOT_SELECTED: Page(
        "the code is not selected",
        "`--select` or `--ignore`, or `select` or `ignore` in [tool.xf2sdpa] of pyproject.toml, leaves out the code "
        "that the call would have been listed under.",
        "xf2sdpa rewrite --ignore XF102 src",
        "Leave the option out, or give beginnings that take the code in: `--select XF1`.",
    ),
    NOT_EXACT: Page(
        "the rewrite rests on an assumption",
        "`--only exact` asks to leave such calls alone.",
        "xf2sdpa rewrite --only exact src",
        "Check what is assumed (the message says it), and run without `--only`.",
    ),
    TOO_DEEP: Page(
        "the file nests too deep",
        "An expression in it goes deeper than the interpreter's recursion limit.",
        "total = 1 + 1 + 1 + 1  # and some thousands more",
        "Split the expression, or exclude the file with `--exclude FILE`.",
    ),
    NO_NOTEBOOK: Page(
        "the file is no notebook that can be worked on",
        "Notebooks are rewritten in format 4: a JSON object with a list of cells. Older ones, and files with broken "
        "JSON, stay as they were. A notebook of another language is none of our business, and is passed over.",
        '{"nbformat": 3, "worksheets": […]}',
        "`jupyter nbconvert --to notebook --inplace FILE` brings an old one to format 4. Else mend it, or exclude it "
        "with `--exclude FILE`.",
    ),
    ACROSS_CELLS: Page(
        "the rewrite does not fit the cells of the notebook",
        "Cells are run one by one. A new import would stand below a cell that reads it, or in one that binds nothing "
        "for others (`%%timeit`), so the notebook is as it was.",
        "[1]: out = attend(q, k, v)\n[2]: import torch.nn.functional as F",
        "Import torch.nn.functional in the first cell, and run again.",
    ),
    BROKEN_OFF: Page(
        "the work on the file broke off",
        "An error of xf2sdpa's own, or the death of the process that worked on the file, as for want of memory. The "
        "file is as it was, and the others were worked on.",
        "model.py:1:1: XF910 error   the work on it broke off: KeyError: 'x' (rules/scale.py, line 30)",
        "Please report it, with the file if you may; `--exclude FILE` passes it over until then.",
    ),
}
