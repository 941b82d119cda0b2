//! A client's terminal modes (RFC 4254 section 8) put into a termios, as sshd's ttymodes.c does.

use russh::Pty;
use rustix::termios::{ControlModes, InputModes, LocalModes, OutputModes, SpecialCodeIndex, Termios};

/// "No character" on the wire; the terminal's own spelling of it is NUL.
const DISABLED: u32 = 255;

/// Bauds that have a name (termios(3)).
const SPEEDS: [u32; 31] = [
    0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800,
    500_000, 576_000, 921_600, 1_000_000, 1_152_000, 1_500_000, 2_000_000, 2_500_000, 3_000_000, 3_500_000, 4_000_000,
];

/// Sets every mode that Linux knows; the others are passed over.
pub(super) fn apply(termios: &mut Termios, modes: &[(Pty, u32)]) {
    for &(mode, value) in modes {
        let _known = set_speed(termios, mode, value) || set_character(termios, mode, value) || set_flag(termios, mode, value);
    }
}

/// The C library that sshd asks keeps one speed for both ways, as that of output; an input speed of 0 means just that.
fn set_speed(termios: &mut Termios, mode: Pty, baud: u32) -> bool {
    match (mode, baud) {
        (Pty::TTY_OP_ISPEED, 0) => true,
        (Pty::TTY_OP_ISPEED | Pty::TTY_OP_OSPEED, _) => termios.set_output_speed(named(baud)).is_ok(),
        _ => false,
    }
}

/// Programs know speeds by the names that termios has for them, and take any other for 0. sshd's is 9600 then.
fn named(baud: u32) -> u32 {
    if SPEEDS.contains(&baud) { baud } else { 9600 }
}

fn set_character(termios: &mut Termios, mode: Pty, value: u32) -> bool {
    let index = match mode {
        Pty::VINTR => SpecialCodeIndex::VINTR,
        Pty::VQUIT => SpecialCodeIndex::VQUIT,
        Pty::VERASE => SpecialCodeIndex::VERASE,
        Pty::VKILL => SpecialCodeIndex::VKILL,
        Pty::VEOF => SpecialCodeIndex::VEOF,
        Pty::VEOL => SpecialCodeIndex::VEOL,
        Pty::VEOL2 => SpecialCodeIndex::VEOL2,
        Pty::VSTART => SpecialCodeIndex::VSTART,
        Pty::VSTOP => SpecialCodeIndex::VSTOP,
        Pty::VSUSP => SpecialCodeIndex::VSUSP,
        Pty::VREPRINT => SpecialCodeIndex::VREPRINT,
        Pty::VWERASE => SpecialCodeIndex::VWERASE,
        Pty::VLNEXT => SpecialCodeIndex::VLNEXT,
        Pty::VDISCARD => SpecialCodeIndex::VDISCARD,
        _ => return false,
    };
    termios.special_codes[index] = if value == DISABLED { 0 } else { value as u8 };
    true
}

fn set_flag(termios: &mut Termios, mode: Pty, value: u32) -> bool {
    let on = value != 0;
    if let Some(flag) = input_flag(mode) {
        termios.input_modes.set(flag, on);
    } else if let Some(flag) = local_flag(mode) {
        termios.local_modes.set(flag, on);
    } else if let Some(flag) = output_flag(mode) {
        termios.output_modes.set(flag, on);
    } else if let Some(flag) = control_flag(mode) {
        termios.control_modes.set(flag, on);
    } else {
        return false;
    }
    true
}

fn input_flag(mode: Pty) -> Option<InputModes> {
    Some(match mode {
        Pty::IGNPAR => InputModes::IGNPAR,
        Pty::PARMRK => InputModes::PARMRK,
        Pty::INPCK => InputModes::INPCK,
        Pty::ISTRIP => InputModes::ISTRIP,
        Pty::INLCR => InputModes::INLCR,
        Pty::IGNCR => InputModes::IGNCR,
        Pty::ICRNL => InputModes::ICRNL,
        Pty::IUCLC => InputModes::IUCLC,
        Pty::IXON => InputModes::IXON,
        Pty::IXANY => InputModes::IXANY,
        Pty::IXOFF => InputModes::IXOFF,
        Pty::IMAXBEL => InputModes::IMAXBEL,
        Pty::IUTF8 => InputModes::IUTF8,
        _ => return None,
    })
}

fn local_flag(mode: Pty) -> Option<LocalModes> {
    Some(match mode {
        Pty::ISIG => LocalModes::ISIG,
        Pty::ICANON => LocalModes::ICANON,
        Pty::XCASE => LocalModes::XCASE,
        Pty::ECHO => LocalModes::ECHO,
        Pty::ECHOE => LocalModes::ECHOE,
        Pty::ECHOK => LocalModes::ECHOK,
        Pty::ECHONL => LocalModes::ECHONL,
        Pty::NOFLSH => LocalModes::NOFLSH,
        Pty::TOSTOP => LocalModes::TOSTOP,
        Pty::IEXTEN => LocalModes::IEXTEN,
        Pty::ECHOCTL => LocalModes::ECHOCTL,
        Pty::ECHOKE => LocalModes::ECHOKE,
        Pty::PENDIN => LocalModes::PENDIN,
        _ => return None,
    })
}

fn output_flag(mode: Pty) -> Option<OutputModes> {
    Some(match mode {
        Pty::OPOST => OutputModes::OPOST,
        Pty::OLCUC => OutputModes::OLCUC,
        Pty::ONLCR => OutputModes::ONLCR,
        Pty::OCRNL => OutputModes::OCRNL,
        Pty::ONOCR => OutputModes::ONOCR,
        Pty::ONLRET => OutputModes::ONLRET,
        _ => return None,
    })
}

fn control_flag(mode: Pty) -> Option<ControlModes> {
    Some(match mode {
        Pty::CS7 => ControlModes::CS7,
        Pty::CS8 => ControlModes::CS8,
        Pty::PARENB => ControlModes::PARENB,
        Pty::PARODD => ControlModes::PARODD,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::pty;
    use rustix::termios::{OptionalActions, Winsize, tcgetattr, tcsetattr};

    fn fresh() -> Termios {
        of_terminal(&[])
    }

    /// What a program finds.
    fn of_terminal(modes: &[(Pty, u32)]) -> Termios {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let (_master, slave) = pty::open_pair(size).unwrap();
        let mut termios = tcgetattr(&slave).unwrap();
        apply(&mut termios, modes);
        tcsetattr(&slave, OptionalActions::Now, &termios).unwrap();
        tcgetattr(&slave).unwrap()
    }

    fn speeds(modes: &[(Pty, u32)]) -> (u32, u32) {
        let termios = of_terminal(modes);
        (termios.input_speed(), termios.output_speed())
    }

    #[test]
    fn characters_are_set_and_255_disables() {
        let mut termios = fresh();
        apply(&mut termios, &[(Pty::VINTR, 1), (Pty::VQUIT, 255), (Pty::VEOF, 4)]);
        let codes = &termios.special_codes;
        assert_eq!((codes[SpecialCodeIndex::VINTR], codes[SpecialCodeIndex::VQUIT], codes[SpecialCodeIndex::VEOF]), (1, 0, 4));
    }

    #[test]
    fn flags_of_every_kind_go_on_and_off() {
        let mut termios = fresh();
        apply(&mut termios, &[(Pty::ECHO, 0), (Pty::IUTF8, 1), (Pty::ONLCR, 0), (Pty::PARENB, 1), (Pty::CS7, 1), (Pty::CS8, 1)]);
        assert!(!termios.local_modes.contains(LocalModes::ECHO));
        assert!(termios.input_modes.contains(InputModes::IUTF8));
        assert!(!termios.output_modes.contains(OutputModes::ONLCR));
        assert!(termios.control_modes.contains(ControlModes::PARENB | ControlModes::CS8));
        apply(&mut termios, &[(Pty::ECHO, 1), (Pty::IUTF8, 0)]);
        assert!(termios.local_modes.contains(LocalModes::ECHO) && !termios.input_modes.contains(InputModes::IUTF8));
    }

    #[test]
    fn speeds_are_bauds_and_the_last_one_stands() {
        assert_eq!(speeds(&[(Pty::TTY_OP_ISPEED, 9600), (Pty::TTY_OP_OSPEED, 115_200)]), (115_200, 115_200));
        assert_eq!(speeds(&[(Pty::TTY_OP_OSPEED, 115_200), (Pty::TTY_OP_ISPEED, 19_200)]), (19_200, 19_200));
    }

    #[test]
    fn a_speed_without_a_name_is_the_usual_one() {
        for odd in [14_400, 28_800, 12_345, u32::MAX] {
            assert_eq!(speeds(&[(Pty::TTY_OP_ISPEED, odd), (Pty::TTY_OP_OSPEED, odd)]), (9600, 9600), "{odd}");
        }
        assert_eq!(speeds(&[(Pty::TTY_OP_OSPEED, 19_200), (Pty::TTY_OP_ISPEED, 0)]), (19_200, 19_200));
    }

    #[test]
    fn modes_that_linux_lacks_change_nothing() {
        let before = fresh();
        let mut after = before.clone();
        apply(&mut after, &[(Pty::VSTATUS, 9), (Pty::VDSUSP, 9), (Pty::VFLUSH, 9), (Pty::TTY_OP_END, 9)]);
        assert_eq!(format!("{before:?}"), format!("{after:?}"));
    }
}
