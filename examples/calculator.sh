#!/bin/sh
# The report's example of a job: prints the sum of two numbers.
if command -v bc >/dev/null; then
    echo "2+2" | bc
else
    echo "$((2+2))"
fi
