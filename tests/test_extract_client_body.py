import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmmap.extract.body import BadBody, BadEncoding, decoded

MEGABYTE = 1024 * 1024


def read(data: bytes, encoding: str, *, size: int = 65536, limit: int = 64 * MEGABYTE) -> bytes:
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(decoded(pieces, encoding, limit=limit))


def bare(data: bytes) -> bytes:
    squeezer = zlib.compressobj(wbits=-15)
    return squeezer.compress(data) + squeezer.flush()


ENCODERS = {"gzip": gzip.compress, "deflate": zlib.compress, "identity": bytes, "": bytes}


@given(st.binary(max_size=2000), st.sampled_from(sorted(ENCODERS)), st.integers(1, 100))
def test_what_was_compressed_comes_back(data: bytes, encoding: str, size: int) -> None:
    assert read(ENCODERS[encoding](data), encoding, size=size) == data


@given(st.binary(max_size=300), st.integers(1, 50))
def test_deflate_may_also_be_bare(data: bytes, size: int) -> None:
    assert read(bare(data), "deflate", size=size) == data


@pytest.mark.parametrize("size", [65535, 65536, 65537, 131072, 300_000])
@pytest.mark.parametrize("encode", [gzip.compress, zlib.compress, bare])
def test_long_runs_come_back_whole_though_little_is_inflated_at_a_time(
    encode: Callable[[bytes], bytes], size: int
) -> None:
    encoding = "gzip" if encode is gzip.compress else "deflate"
    assert read(encode(b"\0" * size), encoding) == b"\0" * size


@given(st.binary(max_size=500), st.binary(max_size=500), st.integers(1, 100))
def test_several_gzip_members_are_one_body(one: bytes, two: bytes, size: int) -> None:
    assert read(gzip.compress(one) + gzip.compress(two), "x-gzip", size=size) == one + two


def test_layers_are_taken_off_in_reverse() -> None:
    data = b"data" * 1000
    assert read(gzip.compress(zlib.compress(data)), "deflate, gzip") == data


@given(st.binary(max_size=500), st.data())
def test_a_body_that_is_cut_anywhere_is_refused(data: bytes, choose: st.DataObject) -> None:
    for encoding in ("gzip", "deflate"):
        whole = ENCODERS[encoding](data)
        cut = choose.draw(st.integers(0, len(whole) - 1))
        with pytest.raises(BadBody):
            read(whole[:cut], encoding)


@given(st.binary(max_size=500), st.data())
def test_a_changed_gzip_body_never_gives_other_data(data: bytes, choose: st.DataObject) -> None:
    whole = bytearray(gzip.compress(data))
    at = choose.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= choose.draw(st.integers(1, 255))
    # Some bits mean nothing: the header's time, the padding of the last byte.
    with suppress(BadBody):
        assert read(bytes(whole), "gzip") == data


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("tail", [b"\0", b"tail", b"\x1f"])
def test_nothing_may_follow(encoding: str, tail: bytes) -> None:
    with pytest.raises(BadBody):
        read(ENCODERS[encoding](b"data") + tail, encoding)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, br", "\x00"])
def test_an_encoding_that_was_not_asked_for_is_refused(encoding: str) -> None:
    if encoding == "\x00":
        assert read(b"data", encoding) == b"data"
    else:
        with pytest.raises(BadEncoding):
            read(gzip.compress(b"data"), encoding)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_plain_body_with_an_encoding_header_is_told_apart(encoding: str) -> None:
    with pytest.raises(BadEncoding, match="not compressed"):
        read(b'{"plain": true}', encoding)


@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_the_limit_holds_before_and_after_decompression(encoding: str) -> None:
    data = ENCODERS[encoding](b"x" * 5000)
    assert len(read(data, encoding, limit=5000)) == 5000
    with pytest.raises(BadBody, match="max_body") as caught:
        read(data, encoding, limit=4999)
    assert not caught.value.again


@pytest.mark.parametrize("layers", [1, 2])
def test_a_bomb_is_stopped_early_and_in_little_memory(layers: int) -> None:
    data = gzip.compress(b"\0" * (200 * MEGABYTE), 9)
    for _ in range(layers - 1):
        data = gzip.compress(data, 9)
    tracemalloc.start()
    with pytest.raises(BadBody, match="grows") as caught:
        for _ in decoded([data], ", ".join(["gzip"] * layers), limit=256 * MEGABYTE):
            pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert not caught.value.again
    assert peak < 8 * MEGABYTE


def test_too_many_layers_are_refused() -> None:
    with pytest.raises(BadBody, match="times over"):
        read(b"", ",".join(["gzip"] * 4))
