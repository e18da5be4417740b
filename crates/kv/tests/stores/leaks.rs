//! What is no longer used gives back its memory and its files.

use std::sync::Arc;

use nexusbase_io::Env;
use nexusbase_kv::engines::file::{self, FileOptions};
use nexusbase_kv::{CreateOptions, StoreOptions, stores};

use super::{new, on_file};

#[test]
fn a_store_that_is_closed_gives_its_memory_back() {
    let (stores, ..) = new();
    let on_file = on_file();
    let s = stores.create("s", &on_file).unwrap();
    s.set(b"k", &vec![1; 1 << 20]).unwrap();
    s.close().unwrap();
    let weak = Arc::downgrade(&s);
    drop(s);
    // Others work on.
    stores.create("t", &on_file).unwrap();
    stores.create("u", &on_file).unwrap().close().unwrap();
    assert!(weak.upgrade().is_none(), "all of it is in memory still");
}

#[test]
fn a_folder_is_free_again_when_nobody_has_its_stores_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let env = Env::os();
    let open = || file::engine(&env, folder.path(), FileOptions::default());
    // This alone works.
    drop(
        open()
            .unwrap()
            .create("t", &StoreOptions::default())
            .unwrap(),
    );
    {
        let all = stores(&env);
        all.register(open().unwrap()).unwrap();
        drop(all.create("s", &CreateOptions::default()).unwrap());
    }
    let again = open().map(drop);
    assert!(again.is_ok(), "{again:?}");
}
