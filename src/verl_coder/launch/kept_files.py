"""verl's YAML files and ours for Hydra, each parsed once: a configuration takes forty, and a start composes several."""

import copy
from functools import lru_cache
from pathlib import Path

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult

MOST_FILES = 512


class KeptFiles(FileConfigSource):  # type: ignore[misc]
    """A folder of Hydra's search path, `kept:///the/folder`: a file is parsed again where it has changed."""

    @staticmethod
    def scheme() -> str:
        """Hydra's name for this kind of folder."""
        return "kept"

    def load_config(self, config_path: str) -> ConfigResult:
        """What the file holds; a copy, since Hydra takes the defaults list out of it."""
        try:
            state = (Path(self.path) / self._normalize_file_name(config_path)).stat()
        except OSError:
            return super().load_config(config_path)  # which says what is not there
        return copy.deepcopy(
            _parsed(self.path, self.provider, config_path, (state.st_ino, state.st_mtime_ns, state.st_size))
        )


@lru_cache(maxsize=MOST_FILES)
def _parsed(folder: str, provider: str, config_path: str, state: tuple[int, ...]) -> ConfigResult:
    """`state` tells one content of a file from the next."""
    return FileConfigSource(provider, folder).load_config(config_path)


def kept(folder: Path) -> str:
    """`folder` as an entry of `hydra.searchpath`."""
    Plugins.instance().register(KeptFiles)
    return f"{KeptFiles.scheme()}://{folder}"
