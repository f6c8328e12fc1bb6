//! `hm image`: the images of registries that the store holds, and the lock that pins them.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use hm_pipeline_ir::Pipeline;
use hm_store::image::{ImageLock, KeptBecause, PulledImage, RegistryRef};
use hm_store::{ImageDigest, ImageRef, Images, Store};
use serde_json::json;

use crate::cli::{Format, ImageCommand, ImageListArgs, ImageLockArgs, ImageNames};
use crate::commands::source;
use crate::error::{self, CliError};
use crate::exit::Exit;
use crate::images::{image_error, lock_error, lock_path, read_lock};
use crate::output;
use crate::process::Process;
use crate::pulls::PullProgress;
use crate::settings::{ImageCommandSettings, Places};
use crate::wiring;

const MIB: u64 = 1 << 20;

/// One of the image commands.
pub(crate) fn image(command: &ImageCommand, process: &Process) -> Result<Exit, CliError> {
    match command {
        ImageCommand::Pull(args) => pull(args, process),
        ImageCommand::Ls(args) => list(args, process),
        ImageCommand::Rm(args) => remove(args, process),
        ImageCommand::Lock(args) => lock(args, process),
    }
}

fn pull(args: &ImageNames, process: &Process) -> Result<Exit, CliError> {
    let places = Places::find(None, process)?;
    let mut settings = ImageCommandSettings::resolve(&places, process)?;
    settings.images.lock = read_lock(&places.tree())?;
    let runtime = wiring::runtime()?;
    with_store(&settings.store, |store| {
        let images = Images::new(store.clone(), settings.images);
        let told = Arc::new(PullProgress::new(process));
        let pull_one = |text: &str| -> Result<(), CliError> {
            let reference = parse(text)?.relative_to(&process.cwd);
            let pulled = runtime.block_on(images.fetch(&reference, told.clone()));
            told.end();
            let pulled = pulled.map_err(|error| image_error(&error))?;
            output::result(&format!("{reference} {pulled}\n"))?;
            if !matches!(reference, ImageRef::Registry(_)) {
                // What was unpacked is too dear to be lost with the power.
                let synced = store.make_durable();
                synced.map_err(|error| wiring::store_error(&error, &settings.store))?;
            }
            Ok(())
        };
        // One that can't be had is no reason not to pull the others; the first is told in full, at the end.
        let mut end: Result<Exit, CliError> = Ok(Exit::Success);
        for text in &args.images {
            if let Err(error) = pull_one(text) {
                if end.is_ok() {
                    end = Err(error);
                } else {
                    output::note(&format!("error: {text} was not pulled either: {}", error.in_one_line()));
                }
            }
        }
        end
    })
}

fn list(args: &ImageListArgs, process: &Process) -> Result<Exit, CliError> {
    let settings = ImageCommandSettings::resolve(&Places::find(None, process)?, process)?;
    with_store(&settings.store, |store| {
        let images = store.pulled_images().map_err(|error| image_error(&error))?;
        output::result(&match args.format {
            Format::Human => table(&images),
            Format::Json => images.iter().map(as_json).collect(),
        })?;
        for image in images.iter().filter(|image| !image.is_whole) {
            let name = image.names.first().map_or("", String::as_str);
            output::note(&format!(
                "note: parts of {name} are gone from the store. To mend it: hm image pull {name}"
            ));
        }
        Ok(Exit::Success)
    })
}

fn table(images: &[PulledImage]) -> String {
    let mut text = String::new();
    for PulledImage {
        names,
        platform,
        digest,
        bytes,
        pulled,
        is_whole,
        ..
    } in images
    {
        let shown = names
            .iter()
            .filter(|name| !name.contains('@'))
            .chain(names.iter().take(1));
        let name = shown.take(1).cloned().collect::<String>();
        let day = pulled.strftime("%Y-%m-%d");
        writeln!(
            text,
            "{name:<50} {platform:<12} {:>6} MiB  {day}  {digest}{}",
            bytes.div_ceil(MIB),
            if *is_whole { "" } else { "  incomplete" }
        )
        .expect("a String takes everything");
    }
    text
}

fn as_json(image: &PulledImage) -> String {
    let PulledImage {
        names,
        platform,
        digest,
        layers,
        bytes,
        pulled,
        is_whole,
    } = image;
    let object = json!({
        "names": names, "platform": platform, "digest": digest, "layers": layers, "bytes": bytes,
        "pulled": pulled.to_string(), "complete": is_whole,
    });
    format!("{object}\n")
}

fn remove(args: &ImageNames, process: &Process) -> Result<Exit, CliError> {
    let settings = ImageCommandSettings::resolve(&Places::find(None, process)?, process)?;
    let references = args
        .images
        .iter()
        .map(|text| registry(text))
        .collect::<Result<Vec<_>, _>>()?;
    with_store(&settings.store, |store| {
        let mut exit = Exit::Success;
        for reference in references {
            for removed in store.remove_image(&reference).map_err(|error| image_error(&error))? {
                let digest = removed.digest;
                match removed.kept {
                    None => output::result(&format!("{reference} {digest}\n"))?,
                    Some(KeptBecause::Names(names)) => {
                        output::note(&format!("note: {digest} stays as {}", names.join(", ")));
                    }
                    Some(KeptBecause::CachedSteps(steps)) => {
                        output::note(&format!(
                            "{reference} stays: the results of {steps} cached steps stand on it"
                        ));
                        exit = Exit::Unavailable;
                    }
                    Some(KeptBecause::OtherProcesses) => {
                        output::note(&format!(
                            "{reference} stays: another hm is at work with this store; try again after it"
                        ));
                        exit = Exit::Unavailable;
                    }
                }
            }
        }
        Ok(exit)
    })
}

fn lock(args: &ImageLockArgs, process: &Process) -> Result<Exit, CliError> {
    let places = Places::find(args.source.dir.as_deref(), process)?;
    let settings = ImageCommandSettings::resolve(&places, process)?;
    let dir = source::find(&places.start)?.ok_or_else(|| source::no_folder(&places.start))?;
    let root = dir.root().to_owned();
    let all = args.images.is_empty();
    let references = if all {
        let source = source::evaluate(&dir, process, &process.sdk_folder()?)?;
        source::require_whole(&source)?;
        used_images(&source, &settings.default_image)?
    } else {
        // One that can't be read is told of before any registry is asked.
        read_lock(&root)?;
        let given = args.images.iter().map(|text| registry(text));
        given.collect::<Result<_, _>>()?
    };
    let runtime = wiring::runtime()?;
    with_store(&settings.store, |store| {
        let images = Images::new(store.clone(), settings.images);
        let told = Arc::new(PullProgress::new(process));
        let mut pins = Vec::new();
        for reference in references {
            let digest = runtime.block_on(images.digest(&reference, told.clone()));
            let digest = digest.map_err(|error| image_error(&error))?;
            output::result(&format!("{reference} {digest}\n"))?;
            pins.push((reference, digest));
        }
        if all {
            let mut lock = ImageLock::default();
            pin(&mut lock, &pins);
            lock.write(&lock_path(&root))
        } else {
            ImageLock::update(&lock_path(&root), |there| {
                let mut lock = there.unwrap_or_default();
                pin(&mut lock, &pins);
                lock
            })
        }
        .map_err(|error| lock_error(&error))?;
        Ok(Exit::Success)
    })
}

fn pin(lock: &mut ImageLock, pins: &[(RegistryRef, ImageDigest)]) {
    for (reference, digest) in pins {
        lock.set(reference, *digest);
    }
}

/// The images of registries that the steps of all pipelines boot from, by their tags.
fn used_images(source: &source::Source, default: &str) -> Result<Vec<RegistryRef>, CliError> {
    let mut names = BTreeSet::new();
    for definition in &source.envelope.pipelines {
        let document = definition.definition().as_bytes();
        let pipeline =
            Pipeline::parse(document).map_err(|problems| error::invalid_ir(&problems, &definition.origins))?;
        let graph = pipeline.graph();
        for at in graph.indices().filter(|at| graph.parent(*at).is_none()) {
            let image = graph.step(at).image.as_deref().or(pipeline.default_image());
            names.insert(image.unwrap_or(default).to_owned());
        }
    }
    let references = names.iter().map(|name| parse(name)).collect::<Result<Vec<_>, _>>()?;
    let of_registry = references.into_iter().filter_map(|reference| {
        if let ImageRef::Registry(reference) = reference {
            return Some(reference).filter(|reference| reference.digest.is_none());
        }
        None
    });
    Ok(of_registry.collect())
}

fn parse(text: &str) -> Result<ImageRef, CliError> {
    ImageRef::parse(text)
        .map_err(|error| CliError::from_error("image_invalid", Exit::Usage, &error).fix("hm image pull ubuntu:24.04"))
}

fn registry(text: &str) -> Result<RegistryRef, CliError> {
    let reference = parse(text)?;
    if let ImageRef::Registry(reference) = reference {
        return Ok(reference);
    }
    let message = format!("{reference} is not an image of a registry");
    Err(CliError::new("image_invalid", Exit::Usage, message).fix("hm image ls"))
}

/// Works with the store, and closes it however the work ends.
fn with_store(root: &Path, work: impl FnOnce(&Store) -> Result<Exit, CliError>) -> Result<Exit, CliError> {
    let store = wiring::open_store(root)?;
    let end = work(&store);
    let closed = store.close().map_err(|error| wiring::store_error(&error, root));
    let exit = end?;
    closed?;
    Ok(exit)
}
