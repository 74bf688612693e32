//! The kernel's refusals in words: it says an errno, and at which octet of the request it gave up.

use super::{
    super::{
        codec::{attributes, text_of},
        refused,
    },
    chain, is_missing,
    uapi::{NFTA_CHAIN_TYPE, NFTA_EXPR_NAME},
};
use crate::model::{Hook, KernelError};

/// Which part of an operation a request is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// A chain, with this hook.
    Chain(Option<Hook>),
    /// A chain's rule, counted from 0.
    Rule(usize),
}

/// Adds to an error what the request was, `at` being the octet from the start of `message` that it is about.
pub(super) fn explain(error: KernelError, part: Part, message: &[u8], at: Option<usize>) -> KernelError {
    let culprit = at.and_then(|at| attributes(message.get(at..)?).next());
    match (part, culprit) {
        (Part::Rule(at), culprit) => {
            let name = culprit.and_then(|(_, payload)| {
                text_of(attributes(payload).find(|(number, _)| *number == NFTA_EXPR_NAME)?.1)
            });
            in_rule(at, of_expression(error, name))
        }
        (Part::Chain(Some(hook)), Some((NFTA_CHAIN_TYPE, _))) if error.errno.0 == libc::ENOENT => {
            let text = format!("the kernel has no {} chains here", chain::type_of(hook.kind));
            refused(libc::EOPNOTSUPP, text)
        }
        _ => error,
    }
}

/// An error about a rule, counted from 0.
pub(super) fn in_rule(at: usize, error: KernelError) -> KernelError {
    let text = error.text.map(|text| format!(": {text}")).unwrap_or_default();
    KernelError { errno: error.errno, text: Some(format!("rule {}{text}", at + 1)) }
}

fn of_expression(error: KernelError, name: Option<&str>) -> KernelError {
    let Some(name) = name else { return error };
    let text = match (error.errno.0, name, &error.text) {
        // Of these, what they name may be missing; of the others only they themselves.
        (libc::ENOENT, "lookup", _) => "there is no such set or map".to_owned(),
        (libc::ENOENT, "immediate", _) => "there is no such chain".to_owned(),
        (libc::ENOENT, _, _) => {
            return refused(
                libc::EOPNOTSUPP,
                format!("the kernel has no expression `{name}` (module nft_{name})"),
            );
        }
        (libc::EOPNOTSUPP, _, None) => format!("`{name}` does not work at this hook, or not in this kernel"),
        (_, _, Some(text)) => format!("`{name}`: {text}"),
        (_, _, None) => format!("`{name}`"),
    };
    KernelError { errno: error.errno, text: Some(text) }
}

/// An error about a transaction as a whole.
pub(super) fn of_all(error: KernelError) -> KernelError {
    if is_missing(&error) {
        refused(libc::EOPNOTSUPP, "the kernel has no nftables (module nf_tables)")
    } else {
        error
    }
}
