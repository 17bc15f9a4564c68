"""The numbered lines of a text file, plain or gzip, or a Refusal that says at which line it cannot be read.

Lines are decoded one by one, so that a byte that is not UTF-8 is refused at its own line, and nothing but the line at
hand is kept. What a line means is the reader's business.
"""

import gzip
import io
import zlib
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from emu.refusal import Refusal

_GZIP_MAGIC = b"\x1f\x8b"


def _opened(path: Path, closing: ExitStack) -> IO[bytes]:
    """The bytes of the file, unpacked where they are gzip (by their first bytes: names lie)."""
    try:
        plain = closing.enter_context(path.open("rb"))
        if plain.peek(2)[:2] != _GZIP_MAGIC:
            return plain
    except OSError as wrong:
        raise Refusal(str(path), f"cannot be read: {wrong.strerror or wrong}") from None
    except ValueError as wrong:  # a zero byte in the name
        raise Refusal(repr(str(path)), f"cannot be read: {wrong}") from None
    unpacked = closing.enter_context(gzip.GzipFile(fileobj=plain))
    return closing.enter_context(io.BufferedReader(unpacked, 1 << 16))


def numbered_lines(path: Path) -> Generator[tuple[int, str], None, None]:
    """Each line with its number from 1, without its end; a byte order mark and blank lines at the end are dropped.

    Refusal: no such file, a folder, a gzip stream that is broken or ends early, bytes that are not UTF-8, and a blank
    line with another line below it.
    """
    number, blank = 0, 0
    with ExitStack() as closing:
        stream = _opened(path, closing)
        try:
            for raw in stream:
                number += 1
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                if not line or line.isspace():
                    blank = blank or number
                    continue
                if blank:
                    raise Refusal(f"{path}:{blank}", "expected a row, got a blank line")
                yield number, line
        except UnicodeDecodeError as wrong:
            raise Refusal(f"{path}:{number}", f"expected UTF-8 text: {wrong.reason}") from None
        except EOFError:
            raise Refusal(f"{path}:{number + 1}", "the gzip stream ends early: is the file complete?") from None
        except (gzip.BadGzipFile, zlib.error) as wrong:
            raise Refusal(f"{path}:{number + 1}", f"the gzip stream is broken: {wrong}") from None
        except OSError as wrong:
            raise Refusal(str(path), f"cannot be read: {wrong.strerror or wrong}") from None
