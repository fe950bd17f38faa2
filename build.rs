//! Compiles `proto/` with protox: nothing to install but Rust.

use std::{env, fs, path::PathBuf};

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rerun-if-changed=migrations");
    let mut files: Vec<PathBuf> = fs::read_dir("proto/callgate/v1")?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "proto"));
    files.sort();
    let descriptors = protox::compile(&files, ["proto"])?;
    // compile_fds() writes no descriptor set by itself; reflection needs one.
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("callgate.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        // Most answers have no approval, and are moved often on their way out.
        .boxed(".callgate.v1.AuthorizeToolResponse.approval")
        .codec_path("crate::proto::codec::Codec")
        .compile_fds(descriptors)?;
    Ok(())
}
