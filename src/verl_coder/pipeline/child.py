"""A command of `verl-coder` as a pipeline's child: `python -m verl_coder.pipeline.child PARENT COMMAND...`.

It ends with the pipeline, however that ends: two starts never write to one folder.
"""

import sys

from verl_coder.cli import main
from verl_coder.launch.supervise import end_with_parent

if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]))
    sys.argv = ["verl-coder", *sys.argv[2:]]
    main()
