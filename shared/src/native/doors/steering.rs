//! Programs of classic BPF that choose among the sockets of one number (`SO_ATTACH_REUSEPORT_CBPF`, socket(7)): 0 is the one
//! that was here first, 1 the one that takes its place; where there is only one, the kernel overrules them.

use crate::native::quic::CONNECTION_ID;
use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_B, BPF_JA, BPF_JEQ, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, sock_filter, sock_fprog,
};
use nix::sys::socket::{setsockopt, sockopt::AttachReusePortCbpf};
use std::{io, os::fd::AsFd};

const FIRST: u32 = 0;
const SECOND: u32 = 1;

/// Each connection to the newer one.
pub(super) fn connections(socket: &impl AsFd) -> io::Result<()> {
    attach(socket, vec![answer(SECOND)])
}

/// Each packet to the process whose slot its connection id names; `elder` is that of the first. A client's very first packets
/// bear an id of its own choice, which is longer than ours (RFC 9000 section 17.2; agents here choose 20 bytes), and go to the newer.
pub(super) fn packets(socket: &impl AsFd, elder: u8) -> io::Result<()> {
    let program = vec![
        byte(0),
        // A long header?
        jump(BPF_JSET, 0x80, 0, 4),
        byte(5),
        jump(BPF_JEQ, CONNECTION_ID as u32, 0, 6),
        byte(6),
        statement(BPF_JMP | BPF_JA, 1),
        // A short header has the id at once.
        byte(1),
        statement(BPF_ALU | BPF_AND | BPF_K, 1),
        jump(BPF_JEQ, elder.into(), 0, 1),
        answer(FIRST),
        answer(SECOND),
    ];
    attach(socket, program)
}

fn byte(at: u32) -> sock_filter {
    statement(BPF_LD | BPF_B | BPF_ABS, at)
}

fn answer(index: u32) -> sock_filter {
    statement(BPF_RET | BPF_K, index)
}

const fn statement(code: u32, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

/// Skips `yes` or `no` statements.
const fn jump(test: u32, k: u32, yes: u8, no: u8) -> sock_filter {
    sock_filter { code: (BPF_JMP | test | BPF_K) as u16, jt: yes, jf: no, k }
}

fn attach(socket: &impl AsFd, mut program: Vec<sock_filter>) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(io::Error::other)?;
    let program = sock_fprog { len, filter: program.as_mut_ptr() };
    Ok(setsockopt(socket, AttachReusePortCbpf, &program)?)
}
