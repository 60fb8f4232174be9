"""The command `xf2sdpa pr`: the rewrite of one repository as a pull request, opened once and kept up to date."""
