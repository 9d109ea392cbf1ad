"""Files that appear whole or not at all, and what is said where they cannot."""

import errno
import os
from pathlib import Path

import pytest

from geomflow.files import check_folder, named_if_full, write_atomically


def test_a_full_disk_names_what_was_being_written_and_other_errors_stay_what_they_are(tmp_path):
    full, broken = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), OSError(errno.EPIPE, "broken")
    for raised, said in ((full, rf"No space left on device: .{tmp_path}.$"), (broken, r"broken$")):
        with pytest.raises(OSError, match=said) as caught, named_if_full(tmp_path):
            raise raised
        assert caught.value.errno == raised.errno


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_device_is_named(tmp_path):
    (tmp_path / f".a.{os.getpid()}.partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match=rf"No space left on device: .{tmp_path}/a.$"):
        write_atomically(tmp_path / "a", b"x" * 1_000_000)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_a_file_or_inside_one_is_refused(tmp_path):
    check_folder(tmp_path / "new" / "deep")
    (tmp_path / "file").touch()
    for place in ("file", "file/deep"):
        with pytest.raises(ValueError, match=rf"{place}: wanted a folder that can be written, and .*file is none"):
            check_folder(tmp_path / place)
    assert not (tmp_path / "new").exists()
