"""Damage to good files: of bytes, of the values in JSON, of the members of an npz file, of a safetensors header."""

import io
import json
import pickle
import warnings
import zipfile

DEEP = 100_000
# In place of any value in JSON; as text, since some of them cannot be written in any other way.
VALUES = [
    "null", "true", "0", "1", "-1", "3", "0.5", "2.0", "NaN", "-Infinity", "1e999", "1e308", "1" + 30 * "0", 5000 * "9",
    str(2**28), str(2**63), "40000", "[]", "{}", '""', '"x"', '"\\ud800"', '"\\u001b]0;evil\\u0007"', "[0, 1]", "[[]]",
    '{"a": 0}', "[" * DEEP + "]" * DEEP, '{"a":' * DEEP + "0" + "}" * DEEP, "[" * DEEP, "[" * 40 + "]" * 40,
    f'"{100_000 * "a"}"', f"[{','.join(100_000 * ['0'])}]", '["a", "a"]', "[null]",
]
# In place of a part of an array's header.
HEADERS = [
    ("(", "(1000000000000,"), ("(", "(-1,"), ("(", "(3L,"), ("(", "(True,"), ("(", "(2.0,"), (")", ",0)"),
    ("(", "((((("), ("(", "(0, 1" + 30 * "0" + ","),
    ("'<f4'", "'|O'"), ("'<f4'", "'<U9'"), ("'<f4'", "'<f8'"), ("'<f4'", "'>f4'"),
    ("'<f4'", "'(9,9)<f4'"), ("'<f4'", "()"), ("'<f4'", "[('a', '<f4')]"), ("'<f4'", "'<i4'"), ("False", "True"),
    ("False", "0"), ("'shape'", "b'shape'"), ("'shape'", "'form'"), ("{", "["), ("'<f4'", "-" * 9000 + "1"),
    ("<f4", "\\d"),
]
NAMES = ["a.npy", "\x1b]0;evil\x07.npy", "../w.npy", f"{300 * 'n'}.npy", "w", "\ud800.npy", "metadata.npy", ".npy", ""]


class Bomb:
    """What a reader that unpickles would run: it ends the tests."""

    def __reduce__(self):
        return exec, ("import os; os._exit(99)",)


def of_bytes(content, draw):
    """A few bytes changed, left out, put in, or moved."""
    for _ in range(draw.choice([1, 1, 1, 2, 4])):
        size = len(content)
        start, other = draw.randrange(size + 1), draw.randrange(size + 1)
        length = draw.choice([1, 1, 2, 4, 16, size // 4])
        before, piece, after = content[:start], content[other : other + length], content[start + length :]
        noise = bytes(draw.randrange(256) for _ in range(length % 32))
        flipped = bytes(byte ^ 1 << draw.randrange(8) for byte in content[start : start + 1])
        same = draw.choice([b"\0", b"\xff", b"\x80", b"9", b"-"]) * length
        content = draw.choice([
            before, before + after, before + piece + content[start:], before + piece + after, before + noise + after,
            before + same + after, before + flipped + content[start + 1 :],
        ])
    return content


def of_json(content, draw):
    """A value of another kind, a name that is missing or another, or more of the same."""
    value = json.loads(content)
    marks = {}
    for _ in range(draw.choice([1, 1, 2])):
        holders = [(value, key) for value in _containers(value) for key in _keys(value)]
        if not holders:
            break
        holder, key = draw.choice(holders)
        how = draw.randrange(6)
        if how == 0 and isinstance(holder, dict):
            holder[draw.choice(["", "x", "\x1b[2J", "hidden"])] = holder.pop(key)
        elif how == 1:
            del holder[key]
        elif how == 2 and isinstance(holder, list):
            holder.extend(holder[:1000])
        else:
            mark = f"<{len(marks)}>"
            marks[f'"{mark}"'], holder[key] = draw.choice(VALUES), mark
    text = json.dumps(value)
    for mark, instead in marks.items():
        text = text.replace(mark, instead)
    return text.encode()


def _keys(value):
    return list(value) if isinstance(value, dict) else range(len(value))


def _containers(value):
    found = [value] if isinstance(value, (dict, list)) else []
    for inner in found:  # which grows meanwhile
        items = inner.values() if isinstance(inner, dict) else inner[:100]
        found += [item for item in items if isinstance(item, (dict, list))]
    return found


def of_npz(content, draw):
    """Another member, header, name or JSON text, in an archive that is otherwise whole."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [[info.filename, archive.read(info)] for info in archive.infolist()]
    how = draw.randrange(10)
    member = draw.choice(members)
    packed = zipfile.ZIP_STORED
    if how < 4:
        member = next((one for one in members if one[0] == "metadata.npy"), member)
        if member[0] == "metadata.npy":
            member[1] = _array_of(of_json(_body(member[1]), draw))
    elif how == 4:
        old, new = draw.choice(HEADERS)
        member[1] = _with_header(member[1], _header(member[1]).replace(old.encode(), new.encode(), 1))
    elif how == 5:
        member[0] = draw.choice(NAMES)
    elif how == 6:
        members = draw.choice([[m for m in members if m is not member], [*members, member], members[::-1], []])
    elif how == 7:
        member[1] = of_bytes(member[1], draw)
    elif how == 8:
        packed = draw.choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    else:
        member[1] = _with_header(pickle.dumps(Bomb()), b"{'descr': '|O', 'fortran_order': False, 'shape': (), }\n")
    written = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(written, "w", packed) as archive:
        warnings.simplefilter("ignore")  # of a name that occurs twice
        for name, inner in members:
            archive.writestr(zipfile.ZipInfo(name.encode("utf-8", "replace").decode()), inner, packed)
    return written.getvalue()


def of_archive(content, draw):
    """The sizes, flags and offsets that the end of a zip file claims."""
    start = content.rfind(b"PK\x01\x02", 0, draw.randrange(len(content)) + 46)
    if start < 0:
        return of_bytes(content, draw)
    place, size = draw.choice([(8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (42, 4)])
    number = draw.choice([0, 1, 8, 2**16 - 1, 2**31, 2**32 - 1, draw.randrange(2**32)]) % 256**size
    return content[: start + place] + number.to_bytes(size, "little") + content[start + place + size :]


def of_tensors(content, draw):
    """Another length, header or metadata of a safetensors file, or other bytes after the header."""
    length = int.from_bytes(content[:8], "little")
    header, body = content[8 : 8 + length], content[8 + length :]
    how = draw.randrange(8)
    if how < 3:
        text = json.loads(header)["__metadata__"]["metadata"]
        damaged = of_json(text.encode(), draw).decode("utf-8", "surrogateescape")
        header = header.replace(json.dumps(text).encode(), json.dumps(damaged).encode())
    elif how < 5:
        header = of_json(header, draw)
    elif how == 5:
        old, new = draw.choice([
            ('"F32"', '"BF16"'), ('"F32"', '"F64"'), ('"F32"', '"I32"'), ('"F32"', '"F8_E4M3"'), ('"F32"', '"x"'),
            ('"shape":[', f'"shape":[{2**62},{2**62},'), ('"shape":[', '"shape":[0,'), ('"shape":[', '"shape":[-1,'),
            ('"shape":[', '"shape":[' + 99 * "1,"), ('_offsets":[', '_offsets":[-'), ('_offsets":[', '_offsets":[9'),
            ('{"', f'{{"{300 * "n"}'), ('{"', '{"\\u001b]0;evil'), ("__metadata__", "w"), ("metadata", "w"),
        ])
        header = header.replace(old.encode(), new.encode(), 1)
    elif how == 6:
        body = draw.choice([body[:-1], body + b"\0", b"", of_bytes(body, draw), b"\xff" * len(body)])
    else:
        length = draw.choice([0, 1, length - 1, length + 1, len(content), 2**31, 2**48, 2**63, 2**64 - 1])
        return length.to_bytes(8, "little") + content[8:]
    return len(header).to_bytes(8, "little") + header + body


def _header(array):
    return array[10 : 10 + int.from_bytes(array[8:10], "little")]


def _body(array):
    return array[10 + int.from_bytes(array[8:10], "little") :]


def _with_header(array, header):
    body = _body(array) if array.startswith(b"\x93NUMPY") else array
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body


def _array_of(text):
    """The bytes of `text` as NumPy would write an array of them."""
    return _with_header(text, f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({len(text)},), }}\n".encode())
