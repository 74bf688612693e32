//! Who may talk to whom: policies of the configuration as an [`AclTable`], and who is a member of which group.
//!
//! Knows groups, networks and rules, and the numbers that they have in the table. Must not know how the kernel looks
//! things up.
//!
//! | module | knows |
//! |---|---|
//! | `numbers` | things → numbers that stay the same over restarts and changes of the configuration |
//! | `areas` | the address space, cut where any rule, network or pool has a border |
//! | `rules` | the rules of a group, seen from one class of others → cases |
//! | `compile` | a configuration → an [`AclTable`] and names for its numbers |
//! | `members` | local containers and what the fabric says of others |

mod areas;
mod compile;
mod members;
mod numbers;
mod rules;

pub(crate) use compile::Compiled;
pub(super) use compile::needed;
pub(super) use members::Members;
