//! Names of things in clouds, as generated code gives them: what asks for a thing by name has to find what was made.

/// So many first digits of the subscription's id end names on Azure that nobody else in the world may have.
pub const UNIQUE: usize = 6;

/// The name itself if it fits, else its beginning and six digits that keep it apart from others.
pub fn short(name: &str, most: usize) -> String {
    if name.len() <= most {
        return name.into();
    }
    let digits = format!("{:06x}", hash(name) & 0x00ff_ffff);
    format!("{}-{digits}", name[..most - 7].trim_end_matches('-'))
}

/// Lower-case letters and digits only, for names such as an Azure storage account's.
pub fn plain(name: &str, most: usize) -> String {
    let letters: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    if letters.len() <= most {
        return letters;
    }
    format!("{}{:06x}", &letters[..most - 6], hash(name) & 0x00ff_ffff)
}

/// FNV-1a: no secret, and the same everywhere.
pub fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
