//! measure
use super::*;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::RwLock;
use std::time::Instant;

fn rng(s: &mut u64) -> u64 {
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    s.wrapping_mul(0x2545F4914F6CDD1D)
}

type V = (Bytes, Option<u64>, Option<Arc<str>>);
fn val(n: usize) -> V {
    (Bytes::from(vec![n as u8; 100]), None, None)
}

fn time(name: &str, n: usize, mut f: impl FnMut()) -> f64 {
    let t = Instant::now();
    f();
    let ns = t.elapsed().as_nanos() as f64 / n as f64;
    print!(" {name} {ns:.0}");
    ns
}

fn fan<const N: usize>(kind: &str, keys: &[Vec<u8>], order: &[[u8; 32]], sorted: &[Vec<u8>]) {
    let n = keys.len();
    let w = keys[0].len();
    print!("{kind} N={N}:");
    let t: RwLock<Tree<V, N>> = RwLock::new(Tree::new());
    time("fill", n, || {
        for k in keys {
            t.write().unwrap().insert(k, val(k.len()));
        }
    });
    time("get", n, || {
        for i in order {
            black_box(t.read().unwrap().get(&i[..w]).map(|v| v.0.clone()));
        }
    });
    time("getref", n, || {
        for i in order {
            black_box(t.read().unwrap().get(&i[..w]).is_some());
        }
    });
    time("set", n, || {
        for i in order {
            t.write().unwrap().insert(&i[..w], val(i[3] as usize));
        }
    });
    time("scan", n, || {
        let mut c = t
            .read()
            .unwrap()
            .cursor(Bound::Unbounded, Bound::Unbounded, false);
        while let Some(x) = c.next() {
            black_box(x);
        }
    });
    time("rscan", n, || {
        let mut c = t
            .read()
            .unwrap()
            .cursor(Bound::Unbounded, Bound::Unbounded, true);
        while let Some(x) = c.next() {
            black_box(x);
        }
    });
    time("scan10", n / 10, || {
        for i in order.iter().take(n / 10) {
            let mut c = t
                .read()
                .unwrap()
                .cursor(Bound::Included(&i[..w]), Bound::Unbounded, false);
            for _ in 0..10 {
                black_box(c.next());
            }
        }
    });
    let m = n / 10;
    time("snapset", m, || {
        for i in order.iter().take(m) {
            let s = t.read().unwrap().clone();
            t.write().unwrap().insert(&i[..w], val(i[3] as usize));
            drop(s);
        }
    });
    time("remove", m, || {
        for i in order.iter().take(m) {
            t.write().unwrap().remove(&i[..w]);
        }
    });
    drop(t);
    let t: RwLock<Tree<V, N>> = RwLock::new(Tree::new());
    time("asc", n, || {
        for k in sorted {
            t.write().unwrap().insert(k, val(k.len()));
        }
    });
    time("drop", n, || t.write().unwrap().clear());
    println!();
}

fn std_map(kind: &str, keys: &[Vec<u8>], order: &[[u8; 32]], sorted: &[Vec<u8>]) {
    let n = keys.len();
    let w = keys[0].len();
    print!("{kind} std  :");
    let t: RwLock<BTreeMap<Vec<u8>, V>> = RwLock::default();
    time("fill", n, || {
        for k in keys {
            t.write().unwrap().insert(k.clone(), val(k.len()));
        }
    });
    time("get", n, || {
        for i in order {
            black_box(t.read().unwrap().get(&i[..w]).map(|v| v.0.clone()));
        }
    });
    time("getref", n, || {
        for i in order {
            black_box(t.read().unwrap().get(&i[..w]).is_some());
        }
    });
    time("set", n, || {
        for i in order {
            t.write()
                .unwrap()
                .insert(i[..w].to_vec(), val(i[3] as usize));
        }
    });
    time("scan", n, || {
        for x in t.read().unwrap().iter() {
            black_box(x);
        }
    });
    time("rscan", n, || {
        for x in t.read().unwrap().iter().rev() {
            black_box(x);
        }
    });
    time("scan10", n / 10, || {
        for i in order.iter().take(n / 10) {
            for x in t.read().unwrap().range(i[..w].to_vec()..).take(10) {
                black_box(x);
            }
        }
    });
    let m = n / 10;
    time("remove", m, || {
        for i in order.iter().take(m) {
            t.write().unwrap().remove(&i[..w]);
        }
    });
    drop(t);
    let t: RwLock<BTreeMap<Vec<u8>, V>> = RwLock::default();
    time("asc", n, || {
        for k in sorted {
            t.write().unwrap().insert(k.clone(), val(k.len()));
        }
    });
    time("drop", n, || t.write().unwrap().clear());
    println!();
}

#[test]
#[ignore]
fn measure() {
    let n = 1_000_000;
    let mut s = 88172645463325252u64;
    for kind in ["random", "user"] {
        let w = 0;
        let _ = w;
        let mut keys: Vec<Vec<u8>> = (0..n)
            .map(|i| {
                if kind == "random" {
                    [rng(&mut s).to_be_bytes(), rng(&mut s).to_be_bytes()].concat()
                } else {
                    format!("user:{i:08}:profile").into_bytes()
                }
            })
            .collect();
        let mut shuffle = |len: usize| {
            let mut o: Vec<usize> = (0..len).collect();
            for i in (1..len).rev() {
                o.swap(i, (rng(&mut s) % (i as u64 + 1)) as usize);
            }
            o
        };
        let p = shuffle(n);
        keys = p.iter().map(|i| keys[*i].clone()).collect();
        let order: Vec<[u8; 32]> = shuffle(n)
            .iter()
            .map(|i| {
                let mut b = [0; 32];
                b[..keys[*i].len()].copy_from_slice(&keys[*i]);
                b
            })
            .collect();
        let mut sorted = keys.clone();
        sorted.sort();
        for _ in 0..2 {
            std_map(kind, &keys, &order, &sorted);
            fan::<32>(kind, &keys, &order, &sorted);
            if std::env::var("ALL").is_ok() {
                fan::<24>(kind, &keys, &order, &sorted);
                fan::<48>(kind, &keys, &order, &sorted);
                fan::<64>(kind, &keys, &order, &sorted);
            }
        }
    }
}
