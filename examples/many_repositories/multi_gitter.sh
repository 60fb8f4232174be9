#!/bin/sh
# One pull request in each of many repositories, with multi-gitter (https://github.com/lindell/multi-gitter):
#
#     multi-gitter print "$PWD/multi_gitter.sh --dry-run" --org my-org
#     multi-gitter print "$PWD/multi_gitter.sh" --org my-org
#
# `print` lists, clones and runs this in each clone, and opens nothing itself: that is a matter of `xf2sdpa pr`, so every
# request has the text and the manners of a single one. GITHUB_TOKEN (GITLAB_TOKEN, GITEA_TOKEN) is the token of both.
exec xf2sdpa pr --draft --label dependencies "$@"
