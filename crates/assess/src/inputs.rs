//! What an assessment depends on besides the file, and the regions that come into question for it.

use std::collections::BTreeSet;

use lifeboat_atlas::{Atlas, PriceBook};
use lifeboat_model::App;

use crate::choice::Setting;
use crate::draw::Draws;
use crate::optimise::{EFFORT, Outcome, Task, optimise};
use crate::recovery::History;
use crate::site::{Ground, declared, everywhere};

/// Which regions come into question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Candidates {
    /// The file's regions where it names at least two that keep data, else all of its providers' regions.
    #[default]
    Automatic,
    /// The file's only.
    File,
    /// The file's and every other region of the providers that it uses; the whole app is placed together.
    Everywhere,
}

/// What an assessment depends on besides the file.
#[derive(Clone)]
pub struct Inputs<'a> {
    /// Facts.
    pub atlas: &'a Atlas,
    /// List prices; the app's own go before them.
    pub prices: PriceBook,
    /// Prices of a user's price file, which go before both.
    pub declared: PriceBook,
    /// Questions of the kind "what if": every price whose SKU starts so is multiplied.
    pub scaled: Vec<(String, f64)>,
    /// What was measured.
    pub history: History,
    /// Regions.
    pub candidates: Candidates,
    /// Whether patterns, writers, standbys and regions that the file fixes are kept. Default: yes.
    pub keep_pins: bool,
}

impl<'a> Inputs<'a> {
    /// The embedded facts, nothing measured.
    pub fn new(atlas: &'a Atlas) -> Self {
        Self {
            atlas,
            prices: atlas.prices().clone(),
            declared: PriceBook::default(),
            scaled: Vec::new(),
            history: History::default(),
            candidates: Candidates::Automatic,
            keep_pins: true,
        }
    }

    /// The recoveries that are drawn for an app.
    pub fn draws(&self, app: &App) -> Draws {
        Draws::new(Setting { atlas: self.atlas, app, history: &self.history })
    }

    /// The prices that hold for an app.
    pub fn book(&self, app: &App) -> PriceBook {
        let own = self.prices.with_overrides(&PriceBook::of_file(&app.prices)).with_overrides(&self.declared);
        self.scaled.iter().fold(own, |book, (sku, factor)| book.scaled(sku, *factor))
    }
}

/// The comparable cost and the placements alone, for those who ask many times.
/// Not proved to be the cheapest in groups where much hangs together.
pub(crate) fn placements(app: &App, inputs: &Inputs<'_>, draws: &Draws) -> (Outcome, Ground) {
    let (ground, together) = ground(app, inputs, draws);
    (plain(app, inputs, &ground, together, draws), ground)
}

fn plain(app: &App, inputs: &Inputs<'_>, ground: &Ground, together: bool, draws: &Draws) -> Outcome {
    optimise(&Task {
        setting: Setting { atlas: inputs.atlas, app, history: &inputs.history },
        ground,
        relaxed: &BTreeSet::new(),
        keep_pins: inputs.keep_pins,
        draws,
        together,
        within: None,
        effort: EFFORT,
    })
}

/// The regions that come into question, and whether the whole app is placed together. Regions that an account must ask for
/// first come in only where nothing can be had without them.
pub(crate) fn ground(app: &App, inputs: &Inputs<'_>, draws: &Draws) -> (Ground, bool) {
    let book = inputs.book(app);
    let of = |sites| Ground::new(inputs.atlas, &book, sites);
    let own = declared(app);
    let own_is_enough = match inputs.candidates {
        Candidates::File => true,
        Candidates::Automatic => own.len() >= 2,
        Candidates::Everywhere => false,
    };
    if own_is_enough {
        return (of(own), false);
    }
    let open = of(everywhere(inputs.atlas, app, false));
    if plain(app, inputs, &open, true, draws).impossible.is_empty() {
        return (open, true);
    }
    (of(everywhere(inputs.atlas, app, true)), true)
}
