"""Where the study of a search is kept: in an SQLite file, or in a storage that several processes share."""

# No `from __future__ import annotations` here: Hydra needs the types of a plugin's module unquoted.
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganrun.errors import ConfigError, did_you_mean, shown
from ganrun.storage.run_directory import relative

SETTING = "hydra.sweeper.storage"
SCHEMES = ("journal", "sqlite", "postgresql")
KINDS = "an SQLite file, journal, journal:FILE, or postgresql://USER@HOST/DATABASE"
SEARCH = "search"  # the attribute of a study that describes its search


def is_shared(setting: str | None) -> bool:
    """Return whether several processes may work on the study in the storage ``setting``."""
    return _scheme(setting) in ("journal", "postgresql")


def without_password(text: str) -> str:
    """Return ``text`` with the passwords of the URLs in it, at most one a line, replaced by ``***``."""
    return re.sub(r"://([^:/@\n]*):.*@", r"://\1:***@", text)


def storage_of(optuna: Any, setting: str | None, folder: Path) -> Any:
    """Return the storage of Optuna that ``setting`` names.

    Args:
        optuna: the module.
        setting: a path, ``journal``, or a URL; None: ``study.db`` in ``folder``.
        folder: the sweep's directory.

    Raises:
        ConfigError: there is no such kind of storage, or it cannot be opened.
    """
    scheme, given = _scheme(setting), without_password(setting or "")
    try:
        if scheme == "postgresql":
            return optuna.storages.RDBStorage(str(setting), engine_kwargs={"pool_pre_ping": True})
        path = _path(setting, folder)
        if not path.parent.is_dir():
            raise ConfigError(f"{SETTING}={given}: there is no folder {relative(path.parent)}.")
        if scheme == "journal":
            return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
        return optuna.storages.RDBStorage(f"sqlite:///{path}")
    except ConfigError:
        raise
    except ImportError as error:
        raise ConfigError(f"{SETTING}={given} needs a driver: pip install 'psycopg[binary]'.") from error
    except OSError as error:
        raise ConfigError(f"{SETTING}={given} cannot be written: {error.strerror or error}.") from error
    except Exception as error:  # those of SQLAlchemy and its drivers, and of a file that is no journal
        kind = "a journal of Optuna" if scheme == "journal" else "a database that can be opened"
        reason = without_password(shown(str(error).strip().partition("\n")[0], 300))
        raise ConfigError(f"{SETTING}={given} is not {kind}: {reason}") from error


def _scheme(setting: str | None) -> str:
    """Return the kind of storage that ``setting`` names.

    Raises:
        ConfigError: there is no such kind.
    """
    word, colon, _ = (setting or "sqlite:").partition(":")
    name = word.partition("+")[0].lower()
    if name in SCHEMES and (colon or name == "journal"):
        return name
    if colon and not Path(str(setting)).exists():
        raise ConfigError(f"{SETTING}={without_password(str(setting))}: write {KINDS}.{did_you_mean(name, SCHEMES)}")
    return "sqlite"


def _path(setting: str | None, folder: Path) -> Path:
    """Return the file of the storage ``setting``, an SQLite file or a journal."""
    if setting is None:
        return (folder / "study.db").resolve()
    if setting == "journal":
        return (folder / "study.journal").resolve()
    for prefix in ("journal://", "journal:", "sqlite:///", "sqlite:"):
        if setting.startswith(prefix):
            setting = setting.removeprefix(prefix)
            break
    return Path(setting).expanduser().resolve()


def require_same(study: Any, search: Mapping[str, str], setting: str) -> None:
    """Check that ``study`` is one of this ``search``; a new one is marked as such.

    Raises:
        ConfigError: it belongs to a search with other settings.
    """
    known = study.user_attrs.get(SEARCH)
    if known is None:
        study.set_user_attr(SEARCH, dict(search))
        return
    differing = [key for key in sorted({*known, *search}) if known.get(key) != search.get(key)]
    if differing:
        key = differing[0]
        there, here = (f"'{shown(str(one[key]))}'" if key in one else "not set" for one in (known, search))
        more = f" (and {len(differing) - 1} more differ)" if len(differing) > 1 else ""
        raise ConfigError(
            f"{SETTING}={without_password(setting)} holds another search: there {key} is {there}, here {here}{more}. "
            "Choose another storage, or the same settings."
        )
