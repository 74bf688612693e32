//! `[[profile]]`.

use super::named::Named;
use crate::{
    diagnostic::Kind,
    found::{At, Found},
    model::{Bandwidth, Dscp, Limit, Profile},
    schema::{self, read::Written, value::Burst},
};

/// The least that a bucket without a word holds: a handful of frames, and what GRO hands over at once on a slow link.
const SMALLEST_BURST: u64 = 16 * 1024;

pub(super) fn profiles(named: &Named<'_, schema::Profile>, found: &mut Found<'_>) -> Vec<Profile> {
    let mut profiles = Vec::new();
    for section in &named.sections {
        let raw = section.raw;
        let out = limit(&raw.bandwidth, &raw.burst, "", found);
        let inward = limit(&raw.bandwidth_in, &raw.burst_in, "-in", found);
        let dscp = raw.dscp.value().and_then(|dscp| Dscp::new(dscp.get_u8()));
        let (Some(id), Ok(out), Ok(inward)) = (&section.id, out, inward) else { continue };
        // A key that could not be read may say something.
        if out.is_none() && inward.is_none() && dscp.is_none() && !matches!(raw.dscp, Written::Bad) {
            found
                .warning(section.header, format!("profile `{id}` changes nothing"))
                .help("add a `bandwidth`, a `bandwidth-in` or a `dscp`");
        }
        profiles.push(Profile { id: id.clone(), out, inward, dscp });
    }
    profiles
}

/// The limit of one direction; an error when something is wrong with it, and has been reported.
fn limit(
    bandwidth: &Written<Bandwidth>,
    burst: &Written<Burst>,
    suffix: &str,
    found: &mut Found<'_>,
) -> Result<Option<Limit>, super::subnet::Reported> {
    use super::subnet::Reported;
    let rate = match (bandwidth, burst) {
        (Written::Is(at), _) => at.value,
        (Written::Bad, _) => return Err(Reported),
        (Written::Absent, Written::Absent) => return Ok(None),
        (Written::Absent, Written::Bad) => return Err(Reported),
        (Written::Absent, Written::Is(At { span, .. })) => {
            found
                .error(Kind::Conflict, span, format!("`burst{suffix}` without `bandwidth{suffix}`"))
                .help(format!("add `bandwidth{suffix} = \"10Mbps\"`, or what is right here"));
            return Err(Reported);
        }
    };
    match burst.or(usual_burst(rate)) {
        Some(Burst(burst)) => Ok(Some(Limit { rate, burst })),
        None => Err(Reported),
    }
}

/// What the rate carries in 50 ms, some round trips of a data centre, so that TCP comes near the rate.
fn usual_burst(rate: Bandwidth) -> Burst {
    let octets = (rate.bits() / 160).clamp(SMALLEST_BURST, Burst::MAX.into());
    Burst(octets as u32)
}
