from endline.evidence.station import find_station
from endline.operations.batch import targets_in, targets_of
from endline.operations.inspection import digest_of


def test_a_pair_of_photograph_and_scan_is_judged_once_and_a_mask_never(tmp_path):
    for name in ("rgb/0.jpg", "xyz/0.ply", "gt/0.png", "rgb/1.jpg", "xyz/2.ply", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    names = [target.name for target in targets_in(tmp_path, find_station("surface_scan")) if not target.problem]
    assert names == ["rgb/0.jpg", "rgb/1.jpg", "xyz/2.ply"]


def test_elsewhere_each_file_is_judged(tmp_path):
    for name in ("0.png", "1.png"):
        (tmp_path / name).write_bytes(b"x")
    assert len(targets_in(tmp_path, find_station("surface_image"))) == 2


def test_a_part_is_known_by_its_photograph_and_its_scan(tmp_path):
    photograph, scan = tmp_path / "0.jpg", tmp_path / "0.ply"
    photograph.write_bytes(b"the same")
    scan.write_bytes(b"flat")
    (target,) = targets_in(tmp_path, find_station("surface_scan"))
    before = digest_of(*target.files)
    scan.write_bytes(b"bent")
    assert digest_of(*target.files) not in ("", before)
    scan.unlink()
    assert digest_of(*target.files) == ""


def test_second_files_of_one_name_and_endings_that_are_not_read_have_rows_of_their_own(tmp_path):
    for name in ("1.npy", "1_depth.npy", "2.npy", "2.ply", "A1.npy", "a1.npy", "3.jpg", "3.png", "3.npy", "4_mask.png"):
        (tmp_path / name).write_bytes(name.encode())
    for name in ("1.stl", "1.obj", "3.stl"):
        (tmp_path / name).write_bytes(name.encode())
    targets = {target.name: target for target in targets_in(tmp_path, find_station("surface_scan"))}
    names = ["1.npy", "1.obj", "1.stl", "1_depth.npy", "2.npy", "2.ply", "3.jpg", "3.png", "3.stl", "A1.npy", "a1.npy"]
    assert list(targets) == names
    assert [path.name for path in targets["3.jpg"].others] == ["3.npy"]
    assert [path.name for path in targets["3.png"].others] == ["3.npy"]


def test_masks_among_photographs_are_left_out_with_a_line(tmp_path, caplog):
    for name in ("0.png", "0_mask.png", "gas_mask.png", "labels/0.png", "masks/1.png", "1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    targets = targets_of([tmp_path], find_station("surface_image"))
    assert [target.name for target in targets] == ["0.png", "1.png", "gas_mask.png"]
    assert caplog.messages == ["Masks by their names, and not judged: 3 files, 0_mask.png first."]
    caplog.clear()
    assert len(targets_of([tmp_path / "0_mask.png"], find_station("surface_image"))) == 1
    assert not caplog.messages
