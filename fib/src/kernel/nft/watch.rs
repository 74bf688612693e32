//! That others change our tables: `nft flush ruleset` of an administrator, a firewall's restart.
//!
//! The kernel announces a transaction object by object, and at its end the new generation with the process that asked
//! for it. Our own are dropped by a filter on the socket; others are only looked at for the table's name.

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

use super::{
    super::{
        channel::{Channel, enlarge},
        codec::{Message, attributes_after, text_of},
        engine::Engine,
        failed,
        filter::echo_filter,
        netfilter::{FIXED, be32_of},
        sys::attach_filter,
    },
    named_table,
    uapi::{NFNL_SUBSYS_NFTABLES, NFNLGRP_NFTABLES, NFT_MSG_NEWGEN, NFTA_GEN_PROC_NAME, NFTA_GEN_PROC_PID},
};
use crate::model::{Concern, Event, KernelError};

impl Engine {
    /// The socket for nftables. With its first use the news is subscribed to: who has nothing in nftables need not wake
    /// up for what others do there.
    pub(in crate::kernel) fn nft_channel(&mut self) -> Result<&mut Channel, KernelError> {
        let port = self.netfilter()?.port();
        if !self.nft.watched {
            let socket = subscribe(port, self.options.receive_buffer)?;
            self.monitor.add(Concern::Nft, socket);
            self.nft.watched = true;
        }
        self.netfilter()
    }

    /// Takes one announcement.
    pub(in crate::kernel) fn nft_news(&mut self, message: Message<'_>) {
        let [subsystem, kind] = message.kind.to_be_bytes();
        if subsystem != NFNL_SUBSYS_NFTABLES {
            return;
        }
        if kind != NFT_MSG_NEWGEN {
            let ours = self.owner.nft_table;
            self.nft.touched |= named_table(message).is_some_and(|(_, name)| name == ours);
        } else if std::mem::take(&mut self.nft.touched) {
            let (process, pid) = author(message);
            tracing::info!(process, pid, "somebody else has changed our nftables table");
            self.nft.forget();
            self.tell(Event::Overrun(Concern::Nft));
        }
    }
}

/// Name and number of the process whose transaction has made the new generation.
fn author(message: Message<'_>) -> (&str, u32) {
    let (mut name, mut pid) = ("", 0);
    for (number, payload) in attributes_after(message.body, FIXED) {
        match number {
            NFTA_GEN_PROC_NAME => name = text_of(payload).unwrap_or_default(),
            NFTA_GEN_PROC_PID => pid = be32_of(payload).unwrap_or_default(),
            _ => {}
        }
    }
    (name, pid)
}

fn subscribe(port: u32, receive_buffer: usize) -> Result<Socket, KernelError> {
    let open = || {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        enlarge(&socket, receive_buffer)?;
        socket.set_non_blocking(true)?;
        attach_filter(&socket, &echo_filter(port))?;
        socket.bind(&SocketAddr::new(0, 0))?;
        socket.add_membership(NFNLGRP_NFTABLES)?;
        Ok(socket)
    };
    open().map_err(|error: std::io::Error| failed(&error))
}
