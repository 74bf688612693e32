//! Session keys, from their files.

use crate::{
    Files,
    diagnostic::Kind,
    found::{At, Found},
    model::Secret,
    schema::value::AbsolutePath,
};

/// Reads the key. Its content is in no message.
pub(super) fn read(path: &At<AbsolutePath>, files: &dyn Files, found: &mut Found<'_>) -> Option<Secret> {
    let At { value: AbsolutePath(path), span } = path;
    let shown = path.display();
    let file = match files.read_secret(path) {
        Ok(file) => file,
        Err(error) => {
            found
                .error(Kind::KeyFile, span, format!("cannot read the key file {shown}"))
                .label(error.to_string())
                .help("without the key the session would never come up, so the file has to be there when the configuration is loaded");
            return None;
        }
    };
    if file.world_readable {
        found
            .warning(span, format!("everybody on this host can read the key file {shown}"))
            .help(format!("chmod o= {shown}"));
    }
    // An editor ends the line, a person does not mean it.
    let key = file.bytes.strip_suffix(b"\n").unwrap_or(&file.bytes);
    let key = key.strip_suffix(b"\r").unwrap_or(key);
    let problem = if key.is_empty() {
        Some(format!("the key file {shown} is empty"))
    } else if key.contains(&b'\n') {
        Some(format!("the key file {shown} has more than one line"))
    } else {
        None
    };
    if let Some(problem) = problem {
        found.error(Kind::KeyFile, span, problem).label("the key is the one line of this file");
        return None;
    }
    let secret = Secret::new(key);
    if secret.is_none() {
        found
            .error(Kind::KeyFile, span, format!("the key in {shown} is too long"))
            .label(format!("allowed are {} bytes", Secret::MAX))
            .note("that is what the kernel takes (TCP_MD5SIG_MAXKEYLEN)");
    }
    secret
}
