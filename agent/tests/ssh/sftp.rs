//! Files over SFTP and scp: with the tools of this machine, and with clients that are less polite.

mod raw;
mod rude;
mod stock;
mod wire;
