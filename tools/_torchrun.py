#!/usr/bin/env python
"""torchrun that does not bury a message of ours under its own traceback."""
import logging
import signal
import sys

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args, run

EXPLAINED = 2  # exit code of a tool that has said what is wrong


def main() -> int:
    # It repeats what is printed here, or what the process printed itself.
    api = 'torch.distributed.elastic.multiprocessing.api'
    logging.getLogger(api).setLevel(logging.CRITICAL)
    try:
        run(parse_args(sys.argv[1:]))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        code = failure.exitcode
        if code != EXPLAINED:
            how = (f'was ended by {signal.Signals(-code).name}'
                   if code < 0 else f'ended with exit code {code}')
            print(f'error: process {rank} {how}; its own messages are above',
                  file=sys.stderr)
        return code if code > 0 else 128 - code
    return 0


if __name__ == '__main__':
    sys.exit(main())
