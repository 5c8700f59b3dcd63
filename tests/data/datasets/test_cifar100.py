"""Reading, checking and downloading the official files."""

import hashlib
import io
import os
import pickle
import shutil
import socket
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_cifar100 import COARSE_NAMES, FINE_NAMES, NUM_IMAGES, put_cifar100

from sbn_lightning.data import CIFAR100
from sbn_lightning.data.datasets import cifar100
from sbn_lightning.data.packing.store import open_split, read_manifest
from sbn_lightning.errors import UsageError

FILES = ["coarse_label_names.txt", "fine_label_names.txt", "test.bin", "train.bin"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def records(root: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """The records of the official files that lie in root."""
    return put_cifar100(root, monkeypatch)


def left_in(root: Path) -> list[str]:
    """What lies in root, but for the lock beside the packed images and its folder."""
    return sorted(path.name for path in root.iterdir() if list(path.glob("*")) != [root / "packed/.cifar100_fine.lock"])


def ready(root: Path, **options: str) -> CIFAR100:
    data = CIFAR100(str(root), **options)
    data.prepare_data()
    data.setup("fit")
    return data


# Reading.


def red(row: int, column: int) -> int:
    return row


def green(row: int, column: int) -> int:
    return 100 + column


def blue(row: int, column: int) -> int:
    return (7 * row + 3 * column) % 256


def test_a_record_is_coarse_label_fine_label_and_red_green_blue_planes_row_by_row(
    root: Path, records: dict[str, np.ndarray]
) -> None:
    record = [2, 13]
    for plane in (red, green, blue):
        for row in range(32):
            for column in range(32):
                record.append(plane(row, column))
    records["test"][5] = record
    records["test"].tofile(root / "cifar-100-binary" / "test.bin")

    data = ready(root)
    image = open_split(data.store, "test").images[5]
    for row, column in ((0, 0), (0, 31), (31, 0), (4, 9), (31, 31)):
        assert image[:, row, column].tolist() == [red(row, column), green(row, column), blue(row, column)]
    assert image.flatten().tolist() == record[2:]
    assert open_split(data.store, "test").labels[5] == 13
    assert open_split(ready(root, labels="coarse").store, "test").labels[5] == 2


@pytest.mark.parametrize(("labels", "column", "names"), [("fine", 1, FINE_NAMES), ("coarse", 0, COARSE_NAMES)])
def test_labels_are_those_asked_for(
    root: Path, records: dict[str, np.ndarray], labels: str, column: int, names: list[str]
) -> None:
    data = ready(root, labels=labels)
    assert data.num_classes == len(names)
    assert data.class_names == names
    for split in NUM_IMAGES:
        assert open_split(data.store, split).labels.tolist() == records[split][:, column].tolist()


def test_fine_and_coarse_labels_live_side_by_side(root: Path, records: dict[str, np.ndarray]) -> None:
    fine, coarse = ready(root), ready(root, labels="coarse")
    assert fine.store != coarse.store
    assert ready(root).class_names == FINE_NAMES
    assert coarse.class_names == COARSE_NAMES


def test_a_class_without_training_images_is_counted_as_0(root: Path, records: dict[str, np.ndarray]) -> None:
    records["train"][records["train"][:, 1] == 99, 1] = 98
    records["train"].tofile(root / "cifar-100-binary" / "train.bin")
    assert ready(root).class_counts.tolist() == [10] * 98 + [20, 0]


def test_a_file_that_changed_is_packed_again(root: Path, records: dict[str, np.ndarray]) -> None:
    ready(root)
    file = root / "cifar-100-binary" / "train.bin"
    written = file.stat().st_mtime_ns
    records["train"][0, 2:] ^= 255
    records["train"].tofile(file)
    os.utime(file, ns=(written, written + 1))
    first = open_split(ready(root).store, "train").images[0]
    assert first.flatten().tolist() == records["train"][0, 2:].tolist()


def test_packed_images_are_enough(root: Path, records: dict[str, np.ndarray]) -> None:
    ready(root)
    shutil.rmtree(root / "cifar-100-binary")
    assert ready(root).num_images == NUM_IMAGES


def test_nothing_is_unpickled(root: Path, records: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a pickle can run any code")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    assert ready(root).num_images == NUM_IMAGES


# Damaged files.


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def lengthen(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\0")


def set_byte(position: int, value: int) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        content = bytearray(file.read_bytes())
        content[position] = value
        file.write_bytes(content)

    return change


def drop_a_name(file: Path) -> None:
    file.write_text("\n".join(file.read_text().split()[1:]))


DAMAGES: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "truncated": ("train.bin", cut_off, "3,073,999 bytes, not 3,074,000"),
    "too long": ("test.bin", lengthen, "614,801 bytes, not 614,800"),
    "empty": ("test.bin", lambda file: file.write_bytes(b""), "0 bytes, not 614,800"),
    "coarse label": ("train.bin", set_byte(3 * 3074, 20), "the coarse label 20, but they end at 19"),
    "fine label": ("test.bin", set_byte(7 * 3074 + 1, 100), "the fine label 100, but they end at 99"),
    "class names": ("fine_label_names.txt", drop_a_name, "99 classes, not 100"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_file_is_named_with_the_rule_and_nothing_is_packed(
    root: Path, records: dict[str, np.ndarray], damage: str
) -> None:
    name, change, message = DAMAGES[damage]
    file = root / "cifar-100-binary" / name
    change(file)
    with pytest.raises(ValueError, match=rf"{file} .*{message}.*put the official file there"):
        ready(root)
    assert left_in(root) == ["cifar-100-binary"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("download", [False, True])
def test_missing_file_is_named(root: Path, records: dict[str, np.ndarray], name: str, download: bool) -> None:
    (root / "cifar-100-binary" / name).unlink()
    with pytest.raises(UsageError, match=rf"{root}/cifar-100-binary lacks {name}.*--data.download true"):
        CIFAR100(str(root), download=download).prepare_data()
    assert left_in(root) == ["cifar-100-binary"]


def test_without_files_both_ways_to_get_them_are_named(root: Path) -> None:
    with pytest.raises(UsageError, match=rf"CIFAR100 is not in {root}/.*--data.root DIR.*--data.download true"):
        CIFAR100(str(root)).prepare_data()
    assert left_in(root) == []


# Downloading, from this machine.


def archive_of(folder: Path, *extra_members: str) -> bytes:
    """The official archive's layout, and further members in front of its files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        for name in extra_members:
            member = tarfile.TarInfo(name)
            member.size = 4
            archive.addfile(member, io.BytesIO(b"evil"))
        archive.add(folder / "cifar-100-binary", "cifar-100-binary")
    return buffer.getvalue()


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    put_cifar100(tmp_path / "elsewhere", monkeypatch)
    return archive_of(tmp_path / "elsewhere")


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """serve(body): a server on this machine takes the official one's place and answers body.

    The official archive is then `archive`, or body if it is not given.
    """
    servers = []

    def start(body: bytes, status: int = 200, archive: bytes | None = None) -> None:
        archive = body if archive is None else archive

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(archive)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        servers.append(server)
        monkeypatch.setattr(cifar100, "URL", f"http://127.0.0.1:{server.server_port}/cifar-100-binary.tar.gz")
        monkeypatch.setattr(cifar100, "MD5", hashlib.md5(archive).hexdigest())

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_downloaded_files_are_put_into_root_without_their_archive(
    root: Path, tmp_path: Path, archive: bytes, serve: Callable[..., None]
) -> None:
    serve(archive)
    data = CIFAR100(str(root / "new"), download=True)
    data.prepare_data()
    assert sorted(path.name for path in (root / "new").iterdir()) == ["cifar-100-binary", "packed"]
    assert sorted(path.name for path in data.source.iterdir()) == FILES
    for name in FILES:
        assert (data.source / name).read_bytes() == (tmp_path / "elsewhere" / "cifar-100-binary" / name).read_bytes()
    data.setup("fit")
    assert data.num_images == NUM_IMAGES


def test_files_that_are_there_are_not_downloaded(root: Path, serve: Callable[..., None], archive: bytes) -> None:
    serve(b"", status=404)
    shutil.copytree(root.parent / "elsewhere" / "cifar-100-binary", root / "cifar-100-binary")
    CIFAR100(str(root), download=True).prepare_data()
    assert (root / "packed" / "cifar100_fine").is_dir()


def test_members_outside_their_folder_are_written_nowhere(
    root: Path, tmp_path: Path, archive: bytes, serve: Callable[..., None]
) -> None:
    outside = ["../evil", "cifar-100-binary/../../evil", str(tmp_path / "evil"), "evil"]
    serve(archive_of(tmp_path / "elsewhere", *outside))
    CIFAR100(str(root), download=True).prepare_data()
    assert (root / "cifar-100-binary" / "train.bin").is_file()
    assert list(tmp_path.rglob("evil")) == []


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_link_or_device_in_a_files_place_is_refused(root: Path, kind: bytes, serve: Callable[..., None]) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo("cifar-100-binary/train.bin")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    serve(buffer.getvalue())
    with pytest.raises(ValueError, match=r"train\.bin in the archive of .* is a link or a device, not a file"):
        CIFAR100(str(root), download=True).prepare_data()
    assert not (root / "cifar-100-binary").exists()


def test_another_archive_is_refused_by_its_md5_and_removed(
    root: Path, archive: bytes, serve: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(archive)
    monkeypatch.setattr(cifar100, "MD5", "0" * 32)
    with pytest.raises(ValueError, match=rf"{cifar100.URL} .*MD5 {'0' * 32} expected.*try again"):
        CIFAR100(str(root), download=True).prepare_data()
    assert left_in(root) == []


def test_download_that_breaks_off_leaves_nothing(root: Path, archive: bytes, serve: Callable[..., None]) -> None:
    serve(archive[: len(archive) // 2], archive=archive)
    # Python's versions differ in whether they notice the missing bytes themselves.
    with pytest.raises((ValueError, ConnectionError), match=rf"{cifar100.URL} .*(try again|download it elsewhere)"):
        CIFAR100(str(root), download=True).prepare_data()
    assert left_in(root) == []


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_server_that_refuses_is_named_with_what_to_do(root: Path, serve: Callable[..., None], status: int) -> None:
    serve(b"no such thing", status=status)
    message = rf"{cifar100.URL} could not be read .*{status}.*download it elsewhere and unpack it in {root}"
    with pytest.raises(UsageError, match=message):
        CIFAR100(str(root), download=True).prepare_data()
    assert left_in(root) == []


def test_server_that_is_down_is_named_with_what_to_do(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed_soon:
        port = closed_soon.getsockname()[1]
    monkeypatch.setattr(cifar100, "URL", f"http://127.0.0.1:{port}/cifar-100-binary.tar.gz")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(UsageError, match=rf"{cifar100.URL} could not be read.*unpack it in {root}"):
        CIFAR100(str(root), download=True).prepare_data()
    assert left_in(root) == []


@pytest.mark.parametrize("answer", [b"", b"this is not HTTP\r\n\r\n"])
def test_server_that_does_not_speak_http_is_named_with_what_to_do(
    root: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer_once() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(answer)

        thread = threading.Thread(target=answer_once)
        thread.start()
        monkeypatch.setattr(cifar100, "URL", f"http://127.0.0.1:{listener.getsockname()[1]}/cifar-100-binary.tar.gz")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with pytest.raises(UsageError, match=rf"(?s){cifar100.URL} could not be read.*unpack it in {root}"):
            CIFAR100(str(root), download=True).prepare_data()
        thread.join()
    assert left_in(root) == []


# The real images.


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CIFAR100]:
    if "SBN_CIFAR100_ROOT" not in os.environ:
        pytest.skip("SBN_CIFAR100_ROOT does not name the folder that holds cifar-100-binary/")
    root = tmp_path_factory.mktemp("real")
    (root / "cifar-100-binary").symlink_to(Path(os.environ["SBN_CIFAR100_ROOT"], "cifar-100-binary").resolve())
    yield ready(root)
    shutil.rmtree(root)  # 184 MB


def test_real_images_are_500_and_100_of_each_class(real: CIFAR100) -> None:
    assert real.num_images == {"train": 50_000, "test": 10_000}
    assert real.class_counts.tolist() == [500] * 100
    assert torch.bincount(open_split(real.store, "test").labels).tolist() == [100] * 100
    assert real.class_names[0] == "apple"
    assert real.class_names[-1] == "worm"


def test_real_pixels_have_the_known_mean_and_std(real: CIFAR100) -> None:
    manifest = read_manifest(real.store)
    assert manifest is not None
    assert manifest.mean == pytest.approx([0.5071, 0.4865, 0.4409], abs=1e-3)
    assert manifest.std == pytest.approx([0.2673, 0.2564, 0.2762], abs=1e-3)


def test_real_fine_classes_each_belong_to_one_of_20_coarse_ones(real: CIFAR100) -> None:
    coarse_names, coarse = CIFAR100(str(real.root), labels="coarse").decode()
    assert len(coarse_names) == 20
    pairs = {
        (int(fine), int(label))
        for split in ("train", "test")
        for fine, label in zip(
            open_split(real.store, split).labels,
            np.concatenate([labels for _, labels in coarse[split].chunks]),
            strict=True,
        )
    }
    assert len(pairs) == 100
    assert np.bincount([label for _, label in pairs]).tolist() == [5] * 20
