//! Secrets of connections in a file, for a debugger: only where the operator asks for it by a name that says what it is.

use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::OFlags;
use rustls::KeyLog;

use super::x509::hex;

/// For its owner alone.
const MODE: u32 = 0o600;

/// A file that secrets of connections are appended to: whoever has it can read what was recorded. It is made with the first
/// secret, so that a configuration that is only looked at leaves nothing behind.
#[derive(Clone)]
pub struct KeyLogFile {
    path: PathBuf,
    file: Arc<Mutex<Place>>,
}

/// Where secrets go.
#[derive(Debug, Default)]
enum Place {
    /// Nobody has shown one yet.
    #[default]
    Unmade,
    File(File),
    /// It cannot be made, or is not for us: said once.
    Refused,
}

impl KeyLogFile {
    /// The file at this path: one that can be made there, or a regular one that can be appended to.
    pub fn at(path: &Path) -> io::Result<Self> {
        match fs::symlink_metadata(path) {
            Ok(found) if found.is_file() => drop(OpenOptions::new().append(true).open(path)?),
            Ok(_) => return Err(io::Error::other("it is no regular file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let folder = path.parent().filter(|folder| *folder != Path::new(""));
                fs::metadata(folder.unwrap_or_else(|| Path::new(".")))?;
            }
            Err(error) => return Err(error),
        }
        Ok(Self {
            path: path.to_path_buf(),
            file: Arc::default(),
        })
    }

    fn open(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        // No link: it would lead the secrets to where somebody else wants them.
        let file = options
            .append(true)
            .create(true)
            .mode(MODE)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(&self.path)?;
        // Its owner reads it, whatever its mode is.
        if file.metadata()?.uid() != rustix::process::geteuid().as_raw() {
            return Err(io::Error::other("the file belongs to somebody else"));
        }
        // One that was there already.
        file.set_permissions(Permissions::from_mode(MODE))?;
        Ok(file)
    }

    fn write(&self, line: &str) -> io::Result<()> {
        let mut place = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Place::Unmade = *place {
            *place = Place::Refused;
            *place = Place::File(self.open()?);
        }
        match &mut *place {
            // One write a line: several connections at a time do not mix.
            Place::File(file) => file.write_all(line.as_bytes()),
            Place::Unmade | Place::Refused => Ok(()),
        }
    }
}

impl PartialEq for KeyLogFile {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for KeyLogFile {}

impl fmt::Debug for KeyLogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyLogFile").field(&self.path).finish()
    }
}

impl KeyLog for KeyLogFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let line = format!("{label} {} {}\n", hex(client_random), hex(secret));
        if let Err(error) = self.write(&line) {
            let path = self.path.display();
            tracing::warn!(%error, %path, "secrets of connections are not in the key log");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn secrets_follow_no_link() {
        let folder = std::env::temp_dir().join(format!("tg-key-log-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (path, other) = (folder.join("keys"), folder.join("other"));
        fs::write(&other, "").unwrap();
        let log = KeyLogFile::at(&path).unwrap();
        symlink(&other, &path).unwrap();
        assert!(log.write("a secret\n").is_err());
        assert_eq!(fs::read_to_string(&other).unwrap(), "");
        fs::remove_file(&path).unwrap();
        let log = KeyLogFile::at(&path).unwrap();
        log.write("a secret\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a secret\n");
        fs::remove_dir_all(folder).unwrap();
    }
}
