//! List prices, known or unknown, and a user's prices on top.

use std::collections::BTreeMap;
use std::sync::Arc;

use lifeboat_model::app::{DeclaredPrice, Place, Provider};
use lifeboat_model::quantity::is_day;

use crate::figure::{Figure, Grade};
use crate::table::{DataError, Row, rows};

/// A price in US dollars per unit, or the admission that it is not known. There is no zero for "unknown".
#[derive(Clone, Debug, PartialEq)]
pub enum Price {
    /// So much.
    Known(Figure<f64>),
    /// Nobody said.
    Unknown {
        /// What was looked for.
        sku: Arc<str>,
        /// Where.
        place: Arc<str>,
    },
}

/// Prices by place and SKU.
#[derive(Clone, Default)]
pub struct PriceBook {
    /// By provider and SKU, then by region's name; `global` for what costs the same everywhere.
    rows: BTreeMap<(Provider, String), BTreeMap<String, Figure<f64>>>,
}

/// The region column of what has no region.
const GLOBAL: [&str; 2] = ["global", ""];

impl PriceBook {
    pub(crate) fn parse_embedded(text: &str) -> Result<Self, DataError> {
        Self::parse(
            "prices.csv",
            text,
            |basis| if basis.contains("estimate") { Grade::Estimated } else { Grade::Published },
            |_, _| Ok(()),
        )
    }

    /// Reads a user's price file: the columns `provider,region,sku,price_usd` and, if wanted, `basis` and `date`. Region
    /// `global` stands for every region of the provider. Providers are those of places, `local` and `kubernetes` included.
    pub fn parse_declared(text: &str) -> Result<Self, DataError> {
        const FILE: &str = "the price file";
        let mut lines: BTreeMap<(Provider, String, String), u64> = BTreeMap::new();
        let book = Self::parse(
            FILE,
            text,
            |_| Grade::Declared,
            |row, key| {
                if let Some(first) = lines.get(&key) {
                    let what = format!("{}/{}/{} has a price in line {first} already", key.0.as_str(), key.1, key.2);
                    return Err(row.error(format!("{what}; expected one line for each")));
                }
                let date = row.text("date").unwrap_or_default();
                if !date.is_empty() && !is_day(date) {
                    return Err(row.error(format!("column `date`: `{date}` is no day; expected such as `2026-10-01`")));
                }
                lines.insert(key, row.line());
                Ok(())
            },
        )?;
        if book.rows.is_empty() {
            let what =
                "there is no price; expected the columns `provider,region,sku,price_usd` and a line for each price";
            return Err(DataError { file: FILE.into(), line: 1, what: what.into() });
        }
        Ok(book)
    }

    /// The prices that an app's file gives.
    pub fn of_file(prices: &[DeclaredPrice]) -> Self {
        let mut book = Self::default();
        for price in prices {
            let source = price.basis.as_deref().unwrap_or("the app's file");
            let figure =
                Figure::new(price.usd, Grade::Declared, source, price.date.as_deref().unwrap_or("as of the file"));
            let region = price.region.as_deref().unwrap_or(GLOBAL[0]);
            book.rows.entry((price.provider, price.sku.clone())).or_default().insert(region.into(), figure);
        }
        book
    }

    /// Every price, by provider, SKU and region (`None`: all of them).
    pub fn iter(&self) -> impl Iterator<Item = (Provider, &str, Option<&str>)> {
        self.rows.iter().flat_map(|((provider, sku), regions)| {
            let region = |name: &'_ String| (name != GLOBAL[0]).then_some(());
            regions.keys().map(move |name| (*provider, sku.as_str(), region(name).map(|()| name.as_str())))
        })
    }

    /// Whether the price of one SKU can stand for the other's: the same one, or another size of its family.
    pub fn serves(declared: &str, needed: &str) -> bool {
        let same_family = || matches!((family(declared), family(needed)), (Some(one), Some(other)) if one.0 == other.0);
        declared == needed || same_family()
    }

    /// `check` gets each row with its provider, region and SKU.
    fn parse(
        file: &str,
        text: &str,
        grade: impl Fn(&str) -> Grade,
        mut check: impl FnMut(&Row<'_>, (Provider, String, String)) -> Result<(), DataError>,
    ) -> Result<Self, DataError> {
        let mut book = Self::default();
        rows(file, text, |row| {
            let provider = row.text("provider")?;
            let provider = Provider::ALL.into_iter().find(|known| known.as_str() == provider).ok_or_else(|| {
                row.error(format!("`{provider}` is no provider; expected aws, azure, kubernetes or local"))
            })?;
            let usd: f64 = row.required("price_usd")?;
            if !(0.0..=DeclaredPrice::MOST_USD).contains(&usd) {
                let most = DeclaredPrice::MOST_USD;
                return Err(row.error(format!("column `price_usd`: a price cannot be {usd}; expected 0 to {most}")));
            }
            let basis = row.text("basis").unwrap_or("");
            let source = if basis.is_empty() { file } else { basis };
            let date = row.text("date").ok().filter(|date| !date.is_empty()).unwrap_or("as of the price file");
            let figure = Figure::new(usd, grade(basis), source, date);
            let region = row.text("region")?;
            let region = if GLOBAL.contains(&region) { GLOBAL[0] } else { region };
            let sku: String = row.required("sku")?;
            check(row, (provider, region.into(), sku.clone()))?;
            book.rows.entry((provider, sku)).or_default().insert(region.into(), figure);
            Ok(())
        })?;
        Ok(book)
    }

    /// These prices, and where `overrides` has one, that one.
    #[must_use]
    pub fn with_overrides(&self, overrides: &Self) -> Self {
        let mut book = self.clone();
        for (key, regions) in &overrides.rows {
            let known = book.rows.entry(key.clone()).or_default();
            if let Some(everywhere) = regions.get(GLOBAL[0]) {
                known.values_mut().for_each(|price| *price = everywhere.clone());
            }
            known.extend(regions.iter().map(|(region, price)| (region.clone(), price.clone())));
        }
        book
    }

    /// Every price whose SKU starts with `sku`, multiplied: for questions of the kind "what if".
    #[must_use]
    pub fn scaled(&self, sku: &str, factor: f64) -> Self {
        let mut book = self.clone();
        for ((_, name), regions) in &mut book.rows {
            if name.starts_with(sku) {
                for price in regions.values_mut() {
                    let source = format!("{} times {factor}, as asked", price.source);
                    *price = Figure::new(price.value * factor, Grade::Declared, source, price.date.clone());
                }
            }
        }
        book
    }

    /// The price of a SKU in a place, or everywhere.
    pub fn price(&self, place: &Place, sku: &str) -> Price {
        self.rows
            .get(&(place.provider, sku.into()))
            .and_then(|regions| regions.get(&place.name).or_else(|| regions.get(GLOBAL[0])))
            .map_or_else(
                || Price::Unknown { sku: sku.into(), place: place.to_string().into() },
                |figure| Price::Known(figure.clone()),
            )
    }

    /// The dearest known price of a SKU at a provider: what may stand in for an unknown one where regions are compared.
    pub fn dearest(&self, provider: Provider, sku: &str) -> Option<f64> {
        self.rows.get(&(provider, sku.into()))?.values().map(|figure| figure.value).max_by(f64::total_cmp)
    }

    /// The price of an instance, such as SKU `ec2/m6g.2xlarge`. Where the size itself has no row, another size of the same
    /// family is scaled: providers price sizes of a family in proportion; such a price is an estimate and says so.
    pub fn instance(&self, place: &Place, sku: &str) -> Price {
        let exact = self.price(place, sku);
        if matches!(exact, Price::Known(_)) {
            return exact;
        }
        let Some((family, size)) = family(sku) else { return exact };
        for (provider, known) in self.rows.keys().filter(|(provider, _)| *provider == place.provider) {
            let Some((other, other_size)) = self::family(known) else { continue };
            if other != family {
                continue;
            }
            if let Price::Known(figure) = self.price(&Place { provider: *provider, name: place.name.clone() }, known) {
                let source = format!("{known} scaled by size: {}", figure.source);
                return Price::Known(Figure::new(
                    figure.value * size / other_size,
                    Grade::Estimated,
                    source,
                    figure.date.clone(),
                ));
            }
        }
        exact
    }

    /// [`Self::dearest`] for instances, scaled like [`Self::instance`].
    pub fn dearest_instance(&self, provider: Provider, sku: &str) -> Option<f64> {
        if let Some(price) = self.dearest(provider, sku) {
            return Some(price);
        }
        let (family, size) = family(sku)?;
        self.rows
            .iter()
            .filter(|((of, _), _)| *of == provider)
            .filter_map(|((_, known), regions)| {
                let (other, other_size) = self::family(known)?;
                let dearest = regions.values().map(|figure| figure.value).max_by(f64::total_cmp)?;
                (other == family).then_some(dearest * size / other_size)
            })
            .max_by(f64::total_cmp)
    }
}

/// The family of an instance and its size in units of the smallest vCPU count: `ec2/m6g.2xlarge` is (`ec2/m6g`, 4 × large).
fn family(sku: &str) -> Option<(String, f64)> {
    if let Some((family, size)) = sku.rsplit_once('.') {
        let units = match size {
            "medium" => 0.5,
            "large" => 1.0,
            "xlarge" => 2.0,
            _ => size.strip_suffix("xlarge")?.parse::<f64>().ok()? * 2.0,
        };
        return Some((family.into(), units));
    }
    // Azure: Standard_D4s_v5, D2ds_v5: letters, vCPUs, the rest.
    let (prefix, name) = sku.split_once('/')?;
    let name = name.strip_prefix("Standard_").unwrap_or(name);
    let digits = name.find(|c: char| c.is_ascii_digit())?;
    let end = name[digits..].find(|c: char| !c.is_ascii_digit())? + digits;
    let cpus: f64 = name[digits..end].parse().ok()?;
    Some((format!("{prefix}/{}#{}", &name[..digits], &name[end..]), cpus))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Atlas, at};

    fn known(price: Price) -> Figure<f64> {
        match price {
            Price::Known(figure) => figure,
            Price::Unknown { sku, place } => panic!("{sku} in {place} is unknown"),
        }
    }

    #[test]
    fn an_unknown_price_is_unknown_and_not_zero() {
        let prices = Atlas::embedded().prices();
        let unknown = prices.price(&at("azure/germanywestcentral"), "sql-gp-gen5-vcore-compute");
        assert!(matches!(unknown, Price::Unknown { .. }), "{unknown:?}");
        assert!(prices.dearest(Provider::Azure, "sql-gp-gen5-vcore-compute").unwrap() > 0.1);
    }

    #[test]
    fn a_known_price_carries_source_and_date() {
        let price = known(Atlas::embedded().prices().price(&at("aws/eu-north-1"), "ec2/m6g.large"));
        assert_eq!((price.value, price.grade), (0.082, Grade::Published));
        assert_eq!(&*price.date, "2024-08-09");
    }

    #[test]
    fn a_size_without_a_row_is_scaled_and_graded_as_an_estimate() {
        let prices = Atlas::embedded().prices();
        let price = known(prices.instance(&at("aws/eu-north-1"), "ec2/m6g.4xlarge"));
        assert_eq!(price.grade, Grade::Estimated);
        assert!((price.value - 0.082 * 8.0).abs() < 1e-9);
        let azure = known(prices.instance(&at("azure/northeurope"), "vm/Standard_D8s_v5"));
        assert!((azure.value - 0.107 * 4.0).abs() < 1e-9, "{}", azure.value);
        assert!(matches!(prices.instance(&at("aws/eu-north-1"), "ec2/x9.large"), Price::Unknown { .. }));
    }

    #[test]
    fn a_declared_price_goes_before_the_list() {
        let book = PriceBook::parse_declared(
            "provider,region,sku,price_usd\naws,eu-north-1,ec2/m6g.large,0.05\nlocal,global,machine,0.01\n",
        )
        .unwrap();
        let prices = Atlas::embedded().prices().with_overrides(&book);
        let price = known(prices.price(&at("aws/eu-north-1"), "ec2/m6g.large"));
        assert_eq!((price.value, price.grade), (0.05, Grade::Declared));
        assert_eq!(known(prices.price(&at("local/a"), "machine")).value, 0.01);
        assert_eq!(known(prices.price(&at("aws/eu-west-1"), "ec2/m6g.large")).grade, Grade::Published);
    }

    #[test]
    fn a_faulty_price_file_is_told_by_line() {
        for (text, expected) in [
            (
                "provider,region,sku,price_usd\naws,x,y,-1\n",
                "the price file, line 2: column `price_usd`: a price cannot be -1; expected 0 to 1000000",
            ),
            (
                "provider,region,sku,price_usd\n",
                "the price file, line 1: there is no price; expected the columns `provider,region,sku,price_usd` and a line for each price",
            ),
            (
                "provider,region,sku,price_usd\naws,global,y,1\naws,x,y,1\naws,,y,2\n",
                "the price file, line 4: aws/global/y has a price in line 2 already; expected one line for each",
            ),
            (
                "provider,region,sku,price_usd,date\naws,x,y,1,2026-13-45\n",
                "the price file, line 2: column `date`: `2026-13-45` is no day; expected such as `2026-10-01`",
            ),
            ("provider,region,sku\naws,x,y\n", "the price file, line 2: there is no column `price_usd`"),
        ] {
            assert_eq!(PriceBook::parse_declared(text).err().unwrap().to_string(), expected);
        }
    }
}
