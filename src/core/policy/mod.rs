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
//! | `hits` | how often rules have decided, and who waits to know that |
//! | `words` | rules and services for people |
//! | `show` | groups, rules and profiles as rows |
//! | `explain` | what becomes of traffic between two addresses, and why |
//! | `party` | who is behind an address |
//! | `decide` | what the table says about the two |

mod areas;
mod compile;
mod decide;
mod explain;
mod hits;
mod members;
mod numbers;
mod party;
mod rules;
mod show;
#[cfg(test)]
mod tests;
mod words;

pub(crate) use compile::Compiled;
pub(super) use members::Members;
