"""verl's SFT trainer as a process of `verl-coder sft`: `python -m verl_coder.sft.child PARENT OVERRIDES...`.

It ends with that command, however that ends: two trainers never write to one folder.
"""

import sys

from verl_coder.launch.supervise import end_with_parent
from verl_coder.platform import put_off

if __name__ == "__main__":
    end_with_parent(int(sys.argv.pop(1)))
    put_off.install_where_nothing_is_compiled()
    from verl_coder.sft.trainer import main

    main()
