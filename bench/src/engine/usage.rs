//! What this process has used: bytes written, memory; and what a folder takes on disk.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Result;

/// Bytes that this process has caused to be written to disk so far. The kernel counts a page when
/// it becomes dirty and takes back those of files that were deleted before they were written.
pub fn written_bytes() -> Result<u64> {
    let io = std::fs::read_to_string("/proc/self/io")?;
    let written = field(&io, "write_bytes:")?;
    Ok(written.saturating_sub(field(&io, "cancelled_write_bytes:")?))
}

/// The most memory that this process has had at a time.
pub fn peak_memory_bytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    Ok(field(&status, "VmHWM:")? * 1024)
}

fn field(text: &str, name: &str) -> Result<u64> {
    let found = text.lines().find_map(|line| line.strip_prefix(name));
    let number = found.and_then(|rest| rest.split_whitespace().next());
    let number = number.ok_or_else(|| format!("no {name} under /proc/self"))?;
    Ok(number.parse()?)
}

/// What all files below `folder` take on disk, of those whose path below `root` is `wanted`.
pub fn disk_bytes(root: &Path, folder: &Path, wanted: &dyn Fn(&Path) -> bool) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            bytes += disk_bytes(root, &path, wanted)?;
        } else if wanted(path.strip_prefix(root)?) {
            bytes += entry.metadata()?.blocks() * 512;
        }
    }
    Ok(bytes)
}

/// Writes out what the file system holds back, so that one system's work is not left for the next
/// one to wait for.
pub fn sync(folder: &Path) -> Result<()> {
    let status = std::process::Command::new("sync")
        .arg("--file-system")
        .arg(folder)
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("sync ended with {status}").into())
    }
}
