//! Trouble that lasts is told when it starts, changes its kind and ends, not at every try.

/// The kind of trouble that was told last, if there is any now.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Trouble(Option<String>);

/// What the newest try changed, so that there is something to tell.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn<F> {
    /// It fails, for the first time or in a new way.
    Fails(F),
    /// It works again.
    Works,
}

impl Trouble {
    /// Takes in the newest try; `kind` names a fault's kind, and nothing that differs from try to try.
    pub fn turn<F>(&mut self, fault: Option<F>, kind: impl Fn(&F) -> String) -> Option<Turn<F>> {
        let now = fault.as_ref().map(kind);
        let news = now != self.0;
        self.0 = now;
        news.then(|| fault.map_or(Turn::Works, Turn::Fails))
    }

    /// Its kind, while it lasts.
    pub fn kind(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_told() {
        let mut trouble = Trouble::default();
        let mut tell = |fault: Option<&'static str>| trouble.turn(fault, |fault| fault[..1].to_owned());
        assert_eq!(tell(None), None, "nothing was wrong");
        assert_eq!(tell(Some("a1")), Some(Turn::Fails("a1")));
        assert_eq!(tell(Some("a2")), None, "of the same kind");
        assert_eq!(tell(Some("b")), Some(Turn::Fails("b")));
        assert_eq!(tell(None), Some(Turn::Works));
        assert_eq!(tell(None), None);
    }
}
