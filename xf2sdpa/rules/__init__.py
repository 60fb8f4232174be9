"""One rule, one file. A module here is a rule; see `xf2sdpa.rulekit.rule` for what it must hold."""
