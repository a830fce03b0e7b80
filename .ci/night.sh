#!/usr/bin/env bash
# Run a night and say by name how it ended: an outcome that is no failure is none for make either.
set -uo pipefail
"$@"
code=$?
case $code in
0) ;;
10) echo "outcome: nothing to do (exit code 10); there is nothing new to learn" ;;
11) echo "outcome: rejected (exit code 11); the incumbent stays" ;;
15) echo "outcome: no effect (exit code 15); the incumbent stays" ;;
*) exit "$code" ;;
esac
