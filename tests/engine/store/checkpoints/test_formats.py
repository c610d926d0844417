"""Files as libraries write them, and files made by hand to deceive: each read, or refused."""

from __future__ import annotations

import io
import json
import math
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from layerscope.engine.statistics import statistics
from layerscope.engine.store.checkpoints import CheckpointError, inspect_tensor, open_checkpoint
from layerscope.engine.store.checkpoints import base as pieces

NAMES = {"float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"}


def reports(path):
    return {t.name: inspect_tensor(t) for t in open_checkpoint(path).tensors}


def raw(path, header, data=b"", length=None):
    """A safetensors file by hand."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def entry(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def tensors():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, 5, generator=generator)
    return {
        **{name: x.to(getattr(torch, name)) for name in NAMES},
        "empty": torch.zeros(0, 3), "scalar": torch.tensor(2.5), "one": torch.ones(1),
        "nan": torch.tensor([1.0, math.nan, math.inf, -math.inf]),
        "int64": torch.tensor([[1, 0, -3]]), "bool": torch.tensor([True, False]),
        "complex64": torch.tensor([1 + 2j]), "uint8": torch.arange(9, dtype=torch.uint8),
    }  # fmt: skip


def expected(tensor):
    if tensor.is_complex():
        return statistics(torch.view_as_real(tensor))
    return statistics(tensor if tensor.is_floating_point() else tensor.double())


def test_safetensors_as_its_own_library_writes_it(tmp_path):
    known = tensors()
    save_file(known, tmp_path / "m.safetensors", metadata={"format": "pt"})
    found = reports(tmp_path / "m.safetensors")
    assert found.keys() == known.keys()
    for name, tensor in known.items():
        assert found[name].shape == tuple(tensor.shape)
        assert found[name].dtype == str(tensor.dtype).removeprefix("torch.")
        assert found[name].statistics == expected(tensor), name
    assert found["nan"].concerns == ["1 NaN", "2 Inf"]


@pytest.mark.parametrize("start", [b"{", b"PK", b" {", b"\x80\x02"])
def test_a_header_whose_length_looks_like_another_format(tmp_path, start):
    length = int.from_bytes(start, "little")
    header = json.dumps({"w": entry([1], 0, 4)}).encode().ljust(length)
    raw(tmp_path / "m.safetensors", header, struct.pack("<f", 2.0))
    assert reports(tmp_path / "m.safetensors")["w"].statistics.max == 2.0


def test_torchs_files_without_running_them(tmp_path):
    known = tensors()
    transposed = torch.arange(12.0).view(3, 4).T
    nested = {"model": {"layers": [transposed, {"w": known["float32"]}]}, "step": 3, **known}
    torch.save(nested, tmp_path / "new.pt")
    found = reports(tmp_path / "new.pt")
    assert found["model.layers.0"].statistics == statistics(transposed.contiguous())
    assert found["model.layers.1.w"].statistics == statistics(known["float32"])
    for key, tensor in known.items():
        assert found[key].statistics == expected(tensor), key
    old = {name: known[name] for name in ("float32", "float16", "empty", "scalar", "int64")}
    torch.save(old, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    found = reports(tmp_path / "old.pt")
    assert {name: r.statistics for name, r in found.items()} == {
        name: expected(tensor) for name, tensor in old.items()
    }


class Evil:
    def __reduce__(self):
        return (
            exec,
            ("from tests.engine.store.checkpoints import test_formats as t; t.Evil.ran = True",),
        )


@pytest.mark.parametrize(
    "write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))]
)
def test_no_pickle_is_run(tmp_path, write):
    write({"w": torch.ones(2), "evil": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match="reading the rest would run its code"):
        open_checkpoint(tmp_path / "evil.pt")
    np.savez(tmp_path / "evil.npz", good=np.ones(2), evil=np.array([Evil()], dtype=object))
    found = reports(tmp_path / "evil.npz")
    assert found["evil"].unread == "objects would have to be unpickled"
    assert found["good"].statistics.count == 2
    assert not hasattr(Evil, "ran")


def test_odd_tensors_of_torchs_files_are_named_and_not_measured(tmp_path):
    odd = {
        "sparse": torch.eye(3).to_sparse(), "expanded": torch.ones(1).expand(10**12),
        "meta": torch.ones(2, device="meta"), "fine": torch.ones(2),
    }  # fmt: skip
    torch.save(odd, tmp_path / "odd.pt")
    found = reports(tmp_path / "odd.pt")
    assert found["sparse"].unread == "its layout is sparse_coo"
    assert found["expanded"].unread == "1000000000000 entries lie over one another in 4 bytes"
    assert found["meta"].unread == "its entries are not in the file, but on meta"
    assert found["fine"].statistics.count == 2


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_in_every_order_and_width(tmp_path, save):
    x = np.random.default_rng(0).normal(size=(7, 3))
    known = {
        "float64": x, "float32": x.astype("f4"), "half": x.astype("f2"), "big": x.astype(">f8"),
        "fortran": np.asfortranarray(x), "strided": x[::2], "scalar": np.array(1.5),
        "empty": np.zeros((0, 4)), "int": np.arange(5), "complex": np.array([1 + 2j]),
        "bool": np.array([True]), "text": np.array(["a"]), "when": np.array(["2020"], "M8[Y]"),
    }  # fmt: skip
    save(tmp_path / "a.npz", **known)
    found = reports(tmp_path / "a.npz")
    assert found.keys() == known.keys()
    for name in ("float64", "float32", "half", "big", "fortran", "strided", "scalar", "int"):
        native = np.array(known[name], dtype=known[name].dtype.newbyteorder("="), order="C")
        # Of Fortran's order the entries come in another order: the moments to rounding.
        ours, exact = found[name].statistics, expected(torch.from_numpy(native))
        assert ours.histogram == exact.histogram
        assert (ours.count, ours.min, ours.max, ours.zeros) == (
            exact.count,
            exact.min,
            exact.max,
            exact.zeros,
        )
        assert ours.mean == pytest.approx(exact.mean, abs=1e-15)
    assert found["text"].unread == found["when"].unread == "torch has no such dtype"
    assert found["fortran"].rows is None
    assert found["float64"].rows is not None


HEADERS = [
    ({"a": entry([2], 0, 4)}, b"1234", "shape .2. of F32 takes 8 bytes, its offsets 4"),
    ({"a": entry([2**40, 2**40], 0, 4)}, b"1234", "expected a shape of at most 64 sizes"),
    ({"a": entry([1] * 65, 0, 4)}, b"1234", "expected a shape of at most 64 sizes"),
    ({"a": entry([-1], 0, 4)}, b"1234", "expected a shape"),
    ({"a": entry([True], 0, 4)}, b"1234", "expected a shape"),
    ({"a": entry([1.0], 0, 4)}, b"1234", "expected a shape"),
    ({"a": entry([1], 4, 0)}, b"1234", "two ascending offsets"),
    ({"a": entry([1], -4, 0)}, b"1234", "two ascending offsets"),
    ({"a": entry([1], 0, 4), "b": entry([1], 0, 4)}, b"1234", "'b' overlaps the one before it"),
    ({"a": entry([1], 4, 8)}, b"12345678", "'a' begins after a gap, at byte 4"),
    ({"a": entry([2], 0, 8)}, b"1234", "tells of 8 bytes of entries, the file has 4: it was cut"),
    ({"a": entry([1], 0, 4)}, b"12345678", "tells of 4 bytes of entries, the file has 8"),
    ({"a": entry([1], 0, 4, "F31")}, b"1234", "unknown dtype 'F31'"),
    ({"a": entry([3], 0, 1, "F4")}, b"1", "takes 1.5 bytes"),
    ({"a": 3}, b"", "expected dtype, shape and data_offsets"),
    ({"a": None}, b"", "expected dtype, shape and data_offsets"),
    ({"a": {"dtype": "F32"}}, b"", "expected dtype, shape and data_offsets"),
    (b'{"a": 1, "a": 2}', b"", "'a' stands there twice"),
    (b"{" + b'"a":[' * 100_000, b"", "no JSON of the format"),
    (b'{"\xff": 1}', b"", "no JSON of the format"),
    (b"{]", b"", "no JSON of the format"),
    (b'{"a": ' + b"9" * 5000 + b"}", b"", "no JSON of the format"),
]  # fmt: skip


@pytest.mark.parametrize(("header", "data", "said"), HEADERS)
def test_a_header_that_lies_is_refused_with_a_sentence(tmp_path, header, data, said):
    with pytest.raises(CheckpointError, match=said):
        open_checkpoint(raw(tmp_path / "m.safetensors", header, data))


@pytest.mark.parametrize("length", [2**63, 10**9, 100, 2**64 - 1])
def test_a_length_that_lies_is_refused_before_anything_is_read(tmp_path, length):
    with pytest.raises(CheckpointError, match=f"a header of {length} bytes is told"):
        open_checkpoint(raw(tmp_path / "m.safetensors", {}, b"", length))


def test_every_shorter_file_is_refused(tmp_path):
    save_file({"a": torch.ones(3), "b": torch.ones(2, 2)}, tmp_path / "m.safetensors")
    whole = (tmp_path / "m.safetensors").read_bytes()
    for size in range(len(whole)):
        (tmp_path / "m.safetensors").write_bytes(whole[:size])
        with pytest.raises(CheckpointError):
            open_checkpoint(tmp_path / "m.safetensors")


def test_a_file_that_is_cut_while_it_is_read_is_an_error_and_no_crash(tmp_path):
    save_file({"a": torch.ones(3000)}, tmp_path / "m.safetensors")
    (stored,) = open_checkpoint(tmp_path / "m.safetensors").tensors
    with (tmp_path / "m.safetensors").open("r+b") as file:
        file.truncate(2000)
    with pytest.raises(CheckpointError, match="it was cut while it was read"):
        inspect_tensor(stored)


def test_entries_below_a_byte_are_named_and_not_measured(tmp_path):
    found = reports(raw(tmp_path / "m.safetensors", {"a": entry([4], 0, 2, "F4")}, b"12"))
    assert found["a"].unread == "F4 packs entries of 4 bits"
    assert found["a"].to_dict()["statistics"] is None


def test_a_model_in_several_files(tmp_path):
    save_file({"a": torch.ones(2), "left out": torch.ones(1)}, tmp_path / "1.safetensors")
    save_file({"b": torch.zeros(3)}, tmp_path / "2.safetensors")
    index = tmp_path / "m.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}))
    found = reports(index)
    assert {name: r.statistics.mean for name, r in found.items()} == {"a": 1.0, "b": 0.0}


@pytest.mark.parametrize(
    ("index", "said"),
    [
        ({"weight_map": {"a": "../../etc/passwd"}}, "expected a file beside it, got '../../etc"),
        ({"weight_map": {"a": "/etc/passwd"}}, "expected a file beside it"),
        ({"weight_map": {"a": ".."}}, "expected a file beside it"),
        ({"weight_map": {"a": "gone.safetensors"}}, "'gone.safetensors', of which it tells, is"),
        ({"weight_map": {"z": "1.safetensors"}}, "'1.safetensors' has no tensor 'z'"),
        ({"weight_map": {"a": 3}}, "expected "),
        ({"weight_map": [1]}, "expected an index"),
        ({}, "expected an index"),
    ],
)
def test_an_index_that_lies(tmp_path, index, said):
    save_file({"a": torch.ones(2)}, tmp_path / "1.safetensors")
    (tmp_path / "m.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=said):
        open_checkpoint(tmp_path / "m.index.json")


def npy(header, data=b""):
    text = header.encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


ARRAYS = [
    (
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999,), }"),
        "takes 39999999996",
    ),
    (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }"), "expected sizes|no array"),
    (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", b"12"), "takes 4 bytes"),
    (npy("__import__('os').system('x')"), "'a' is no array"),
    (npy("(" * 5000), "'a' is no array"),
    (b"\x93NUMPY\x09\x00", "version 9.0"),
    (b"nothing", "'a' is no array"),
    (b"", "'a' is no array"),
]


@pytest.mark.parametrize(("member", "said"), ARRAYS)
def test_an_array_that_lies(tmp_path, member, said):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", member)
    with pytest.raises(CheckpointError, match=said):
        open_checkpoint(tmp_path / "a.npz")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("layerscope.engine.store.checkpoints.npz.MOST_BYTES", 10**6)
    np.savez_compressed(tmp_path / "bomb.npz", a=np.zeros(10**6))
    with pytest.raises(CheckpointError, match="would become 8000128; expected at most 200 times"):
        open_checkpoint(tmp_path / "bomb.npz")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_that_is_damaged_or_repeats_a_name(tmp_path):
    with zipfile.ZipFile(tmp_path / "twice.npz", "w") as archive:
        for _ in range(2):
            archive.writestr("a.npy", b"")
    with pytest.raises(CheckpointError, match=r"'a\.npy' stands there twice"):
        open_checkpoint(tmp_path / "twice.npz")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, a=np.arange(1000.0))
    whole = bytearray(buffer.getvalue())
    whole[200:300] = bytes(100)
    (tmp_path / "torn.npz").write_bytes(whole)
    with pytest.raises(CheckpointError):
        reports(tmp_path / "torn.npz")
    (tmp_path / "cut.npz").write_bytes(buffer.getvalue()[:100])
    with pytest.raises(CheckpointError, match="not readable as a zip"):
        open_checkpoint(tmp_path / "cut.npz")


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "expected a safetensors file"), (b"hello world, no weights here", "expected a safet"),
     (b"\x80\x02garbage", "torch can't load it|would run its code")],
)  # fmt: skip
def test_anything_else_is_told_what_is_expected(tmp_path, content, said):
    (tmp_path / "file.bin").write_bytes(content)
    with pytest.raises(CheckpointError, match=said):
        open_checkpoint(tmp_path / "file.bin")
    with pytest.raises(CheckpointError, match="No such file or directory"):
        open_checkpoint(tmp_path / "gone")
    with pytest.raises(CheckpointError, match="Is a directory"):
        open_checkpoint(tmp_path)


def test_pieces_put_together_are_the_whole(tmp_path, monkeypatch):
    """Rows are cut nowhere where one fits into a piece, and counted nowhere else."""
    x = torch.randn(64, 33, generator=torch.Generator().manual_seed(0))
    x[10], x[20] = x[3], 0
    save_file({"x": x, "y": x.bfloat16()}, tmp_path / "m.safetensors")
    torch.save({"x": x.T.contiguous().T}, tmp_path / "m.pt")
    np.savez(tmp_path / "m.npz", x=x.numpy())
    whole = {path.name: reports(path) for path in tmp_path.iterdir()}
    for bytes_at_once in (1000, 40):  # seven rows of x; a third of one
        monkeypatch.setattr(pieces, "PIECE_BYTES", bytes_at_once)
        for path in tmp_path.iterdir():
            for name, report in reports(path).items():
                before = whole[path.name][name]
                assert report.statistics.histogram == before.statistics.histogram
                assert report.statistics.std == pytest.approx(before.statistics.std, rel=1e-12)
                assert report.fits == before.fits
                assert report.rows == (before.rows if bytes_at_once == 1000 else None)
                assert (before.rows.count, before.rows.dead, before.rows.duplicated) == (64, 1, 1)
