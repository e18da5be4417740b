//! What `Fs` and `File` promise, asked of the operating system and of the simulated disk alike:
//! a simulation in which an operation means something else proves nothing.
#![cfg(test)]

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use nexusbase_io::os::OsFs;
use nexusbase_io::sim::SimDisk;
use nexusbase_io::{Env, Fs, LockError};

/// Runs `test` in both worlds, with a directory to work in and the id that lock files name.
fn in_both_worlds(test: impl Fn(&dyn Fs, &Path, u32)) {
    let dir = tempfile::tempdir().unwrap();
    test(&OsFs, dir.path(), std::process::id());
    let disk = SimDisk::new(0);
    let dir = PathBuf::from("/simulated");
    disk.create_dir(&dir).unwrap();
    test(&disk, &dir, SimDisk::PID);
}

fn kind<T>(result: Result<T, nexusbase_io::Error>) -> Option<ErrorKind> {
    result.err().map(|e| e.source.kind())
}

#[test]
fn what_was_written_is_read_back_from_anywhere() {
    in_both_worlds(|fs, dir, _| {
        let file = fs.create(&dir.join("a")).unwrap();
        file.write_at(b"hello", 1000).unwrap();
        file.write_at(b"HE", 1000).unwrap();
        file.write_durable_at(b"!", 1005).unwrap();
        file.write_at(b"", 9999).unwrap();
        assert_eq!(file.len().unwrap(), 1006);
        let mut buffer = [1; 10];
        assert_eq!(file.read_at(&mut buffer, 998).unwrap(), 8);
        assert_eq!(&buffer, b"\0\0HEllo!\x01\x01");
        assert_eq!(file.read_at(&mut buffer, 1006).unwrap(), 0);
        assert_eq!(file.read_at(&mut buffer, 5000).unwrap(), 0);
        let long: Vec<u8> = (0..5000_u32).map(|i| i.to_le_bytes()[0]).collect();
        file.write_at(&long, 300).unwrap();
        let mut back = vec![0; 5000];
        let reader = fs.open_read_only(&dir.join("a")).unwrap();
        assert_eq!(reader.read_at(&mut back, 300).unwrap(), 5000);
        assert_eq!(back, long);
        file.sync_data().unwrap();
    });
}

#[test]
fn allocating_adds_zeros_and_never_shortens() {
    in_both_worlds(|fs, dir, _| {
        let file = fs.create(&dir.join("a")).unwrap();
        file.write_at(b"abc", 0).unwrap();
        file.allocate_zeroed(2000).unwrap();
        file.allocate_zeroed(10).unwrap();
        assert_eq!(file.len().unwrap(), 2000);
        let mut buffer = [9; 2000];
        assert_eq!(file.read_at(&mut buffer, 0).unwrap(), 2000);
        assert_eq!(&buffer[..5], b"abc\0\0");
        assert!(buffer[3..].iter().all(|byte| *byte == 0));
    });
}

#[test]
fn creating_asks_for_a_free_name_and_opening_for_a_taken_one() {
    in_both_worlds(|fs, dir, _| {
        assert_eq!(kind(fs.open(&dir.join("a"))), Some(ErrorKind::NotFound));
        assert_eq!(
            kind(fs.open_read_only(&dir.join("a"))),
            Some(ErrorKind::NotFound)
        );
        fs.create(&dir.join("a")).unwrap();
        assert_eq!(
            kind(fs.create(&dir.join("a"))),
            Some(ErrorKind::AlreadyExists)
        );
        assert_eq!(
            kind(fs.create(&dir.join("no/a"))),
            Some(ErrorKind::NotFound)
        );
        assert_eq!(kind(fs.open(dir)), Some(ErrorKind::IsADirectory));
        fs.open(&dir.join("./a")).unwrap();
    });
}

#[test]
fn a_read_only_handle_cannot_write() {
    in_both_worlds(|fs, dir, _| {
        fs.create(&dir.join("a")).unwrap();
        let file = fs.open_read_only(&dir.join("a")).unwrap();
        for error in [
            file.write_at(b"x", 0).unwrap_err(),
            file.write_durable_at(b"x", 0).unwrap_err(),
            file.allocate_zeroed(1).unwrap_err(),
        ] {
            assert_eq!(error.source.raw_os_error(), Some(9), "{error}");
        }
        assert_eq!(file.len().unwrap(), 0);
    });
}

#[test]
fn directories_are_created_with_their_parents_and_listed_in_order() {
    in_both_worlds(|fs, dir, _| {
        let deep = dir.join("x/y");
        assert_eq!(kind(fs.list(&deep)), Some(ErrorKind::NotFound));
        fs.create_dir(&deep).unwrap();
        fs.create_dir(&deep).unwrap();
        fs.create(&deep.join("b")).unwrap();
        fs.create(&deep.join("a")).unwrap();
        fs.create_dir(&deep.join("aa")).unwrap();
        assert_eq!(fs.list(&deep).unwrap(), ["a", "aa", "b"]);
        assert_eq!(fs.list(dir).unwrap(), ["x"]);
        assert!(fs.exists(&deep).unwrap());
        assert!(fs.exists(&deep.join("a")).unwrap());
        assert!(!fs.exists(&deep.join("c")).unwrap());
        fs.sync_dir(&deep).unwrap();
        assert_eq!(kind(fs.sync_dir(&dir.join("z"))), Some(ErrorKind::NotFound));
        assert_eq!(
            kind(fs.create_dir(&deep.join("a"))),
            Some(ErrorKind::AlreadyExists)
        );
        assert_eq!(
            kind(fs.create_dir(&deep.join("a/b"))),
            Some(ErrorKind::AlreadyExists)
        );
        assert_eq!(
            kind(fs.list(&deep.join("a"))),
            Some(ErrorKind::NotADirectory)
        );
    });
}

#[test]
fn renaming_moves_a_name_and_replaces_what_was_there() {
    in_both_worlds(|fs, dir, _| {
        let (a, b) = (dir.join("a"), dir.join("b"));
        let file = fs.create(&a).unwrap();
        file.write_at(b"new", 0).unwrap();
        fs.create(&b).unwrap().write_at(b"older", 0).unwrap();
        fs.rename(&a, &b).unwrap();
        assert_eq!(fs.list(dir).unwrap(), ["b"]);
        assert_eq!(fs.open(&b).unwrap().len().unwrap(), 3);
        assert_eq!(kind(fs.rename(&a, &b)), Some(ErrorKind::NotFound));
        // To itself, and between two names of one file: nothing happens.
        fs.rename(&b, &b).unwrap();
        fs.hard_link(&b, &a).unwrap();
        fs.rename(&a, &b).unwrap();
        assert_eq!(fs.list(dir).unwrap(), ["a", "b"]);
        // The handle goes with the file, not with the name.
        file.write_at(b"newer", 0).unwrap();
        assert_eq!(fs.open(&b).unwrap().len().unwrap(), 5);
    });
}

#[test]
fn a_removed_file_stays_usable_by_its_handles() {
    in_both_worlds(|fs, dir, _| {
        let path = dir.join("a");
        let file = fs.create(&path).unwrap();
        file.write_at(b"still", 0).unwrap();
        fs.remove(&path).unwrap();
        fs.sync_dir(dir).unwrap();
        assert_eq!(kind(fs.open(&path)), Some(ErrorKind::NotFound));
        assert_eq!(kind(fs.remove(&path)), Some(ErrorKind::NotFound));
        assert_eq!(kind(fs.remove(dir)), Some(ErrorKind::IsADirectory));
        file.write_at(b" here", 5).unwrap();
        let mut buffer = [0; 10];
        assert_eq!(file.read_at(&mut buffer, 0).unwrap(), 10);
        assert_eq!(&buffer, b"still here");
        assert_eq!(fs.create(&path).unwrap().len().unwrap(), 0);
    });
}

#[test]
fn a_hard_link_is_a_second_name_of_the_same_file() {
    in_both_worlds(|fs, dir, _| {
        let (a, b) = (dir.join("a"), dir.join("b"));
        assert_eq!(kind(fs.hard_link(&a, &b)), Some(ErrorKind::NotFound));
        let file = fs.create(&a).unwrap();
        fs.hard_link(&a, &b).unwrap();
        assert_eq!(kind(fs.hard_link(&a, &b)), Some(ErrorKind::AlreadyExists));
        file.write_at(b"both", 0).unwrap();
        fs.remove(&a).unwrap();
        assert_eq!(fs.open(&b).unwrap().len().unwrap(), 4);
    });
}

#[test]
fn a_lock_held_twice_is_refused_and_names_its_holder() {
    in_both_worlds(|fs, dir, pid| {
        let path = dir.join("LOCK");
        let lock = fs.lock(&path).unwrap();
        let error = fs.lock(&path).unwrap_err();
        assert!(
            matches!(&error, LockError::Held { path: p, holder } if *p == path && *holder == Some(pid)),
            "{error}"
        );
        drop(lock);
        let _again = fs.lock(&path).unwrap();
        assert!(matches!(
            fs.lock(&dir.join("no/LOCK")).unwrap_err(),
            LockError::Io(_)
        ));
    });
}

#[test]
fn errors_name_the_operation_and_the_path() {
    in_both_worlds(|fs, dir, _| {
        let error = fs.open(&dir.join("a")).unwrap_err();
        assert_eq!(
            (error.operation, error.path.as_path()),
            ("open", dir.join("a").as_path())
        );
        assert!(error.is_not_found());
    });
}

#[test]
fn both_worlds_have_a_clock_and_randomness() {
    for env in [Env::os(), Env::simulated(&SimDisk::new(0), 1)] {
        assert!(env.clock.unix_ms() > 1_700_000_000_000);
        assert!(env.clock.monotonic() <= env.clock.monotonic());
        let mut bytes = [0; 32];
        env.random.fill(&mut bytes).unwrap();
        assert_ne!(bytes, [0; 32]);
    }
}
