//! Prints what a pull into an empty store takes: `cargo bench -p hm-store --bench pull -- HOST/REPOSITORY:TAG [ROUNDS]`,
//! with a registry without TLS. Compare with `skopeo copy --src-tls-verify=false docker://… oci:…`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for people, which may panic"
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use hm_store::image::{RegistrySettings, Unobserved};
use hm_store::{ImageRef, ImageSettings, Images, Store, StoreSettings, SystemClock};

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let Some(reference) = arguments.next() else {
        println!("no image is named");
        return;
    };
    let rounds = arguments.next().map_or(5, |text| text.parse().unwrap());
    let ImageRef::Registry(name) = ImageRef::parse(&reference).unwrap() else {
        panic!("{reference} is not an image of a registry")
    };
    for _ in 0..rounds {
        let base = tempfile::tempdir_in(arguments.next().map_or_else(std::env::temp_dir, PathBuf::from)).unwrap();
        let begun = Instant::now();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        let root = base.path().join("store");
        let store = Store::open(StoreSettings {
            root,
            clock: Arc::new(SystemClock),
        })
        .unwrap();
        let registry = RegistrySettings {
            insecure: [name.registry.clone()].into(),
            ..RegistrySettings::default()
        };
        let settings = ImageSettings {
            registry,
            ..ImageSettings::default()
        };
        let images = Images::new(store.clone(), settings);
        let reference = ImageRef::Registry(name.clone());
        let image = runtime
            .block_on(images.resolve(&reference, Arc::new(Unobserved)))
            .unwrap();
        println!("{:>6} ms, {} layers", begun.elapsed().as_millis(), image.layers.len());
        store.close().unwrap();
    }
}
