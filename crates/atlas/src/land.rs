//! Land and large inland waters as outlines, coarse enough for a picture behind a map of regions and for nothing else.

use crate::region::Position;
use crate::table::{DataError, rows};

/// A closed outline.
#[derive(Clone, Debug, PartialEq)]
pub struct Outline {
    /// Whether it is water within land.
    pub water: bool,
    /// Its corners; the last is joined to the first.
    pub corners: Vec<Position>,
}

pub(crate) fn parse(text: &str) -> Result<Vec<Outline>, DataError> {
    let mut outlines = Vec::new();
    rows("land.csv", text, |row| {
        let water = match row.text("kind")? {
            "land" => false,
            "water" => true,
            other => return Err(row.error(format!("`{other}` is neither `land` nor `water`"))),
        };
        let corner = |text: &str| {
            let (longitude, latitude) = text.split_once(' ')?;
            Some(Position { latitude: latitude.parse().ok()?, longitude: longitude.parse().ok()? })
        };
        let corners: Option<Vec<Position>> = row.text("points")?.split(';').map(corner).collect();
        let corners = corners.filter(|corners| corners.len() > 2);
        let corners = corners.ok_or_else(|| row.error("expected three or more `LONGITUDE LATITUDE;…`".into()))?;
        outlines.push(Outline { water, corners });
        Ok(())
    })?;
    Ok(outlines)
}

#[cfg(test)]
mod tests {
    use crate::Atlas;

    /// Whether a point lies within an outline: a ray to the east crosses it an odd number of times.
    fn is_within(longitude: f64, latitude: f64, outline: &super::Outline) -> bool {
        let corners = &outline.corners;
        let sides = corners.iter().zip(corners.iter().cycle().skip(1));
        let crossed = sides.filter(|(a, b)| {
            (a.latitude > latitude) != (b.latitude > latitude)
                && longitude
                    < a.longitude + (latitude - a.latitude) / (b.latitude - a.latitude) * (b.longitude - a.longitude)
        });
        crossed.count() % 2 == 1
    }

    #[test]
    fn known_places_are_on_land_and_at_sea() {
        let land = Atlas::embedded().land();
        let on_land =
            |longitude, latitude| land.iter().any(|outline| !outline.water && is_within(longitude, latitude, outline));
        for (name, longitude, latitude) in [
            ("Frankfurt", 8.7, 50.1),
            ("Ohio", -83.0, 40.0),
            ("Hyderabad", 78.5, 17.4),
            ("Alice Springs", 133.9, -23.7),
        ] {
            assert!(on_land(longitude, latitude), "{name}");
        }
        for (name, longitude, latitude) in
            [("Atlantic", -40.0, 30.0), ("North Sea", 3.0, 56.0), ("Bay of Bengal", 88.0, 15.0)]
        {
            assert!(!on_land(longitude, latitude), "{name}");
        }
    }
}
