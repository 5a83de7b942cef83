"""Where a teacher's servers are, and with which key: checked before anything is sent."""

from urllib.parse import urlsplit

from verl_coder.errors import ConfigError


def check_url(url: str) -> str:
    """The address without a slash at its end; ConfigError unless it is one."""
    try:
        parsed = urlsplit(url)
        parsed.port  # noqa: B018  # a port that is no number raises here
        (parsed.hostname or "").encode("idna")
    except ValueError as error:
        raise ConfigError(f"--base-url {url!r} is no address ({error})") from error
    if parsed.scheme not in ("http", "https") or not parsed.hostname:
        raise ConfigError(f"--base-url {url!r} is no address: write http://HOST:PORT/v1")
    return url.rstrip("/")


def check_key(key: str, name: str) -> str:
    """The key without white space around it; ConfigError names its variable where no header can hold it."""
    key = key.strip()
    if strange := next((character for character in key if not "!" <= character <= "~"), ""):
        raise ConfigError(
            f"the key in {name} holds the character {strange!r}, which no key does: set it again, the key alone"
        )
    return key
