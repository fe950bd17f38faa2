//! Where a path leads, by its text alone: no file system is asked, so a symbolic link isn't seen.
//!
//! A path is brought to a normal form (`.`, `..` and doubled slashes are resolved) and compared segment by
//! segment with roots. What the root looks like says how a path is read: `/…` as POSIX does, `C:\…` or
//! `\\server\share\…` as Windows does, without regard to case. A path that programs could read in several ways
//! has no place: it counts as outside everything, and whether it is within something can't be known. Those are
//! relative paths without a base, `~`, NUL, a backslash where POSIX is meant, a URL, and on Windows device
//! paths, short names, streams, and names that Windows would trim.

use std::borrow::Cow;

use super::{
    super::{
        facts::{Facts, Who},
        mold::{Misfit, Mold},
        template::{Template, each_department},
        truth::{Answer, Why, any},
    },
    LIST_MAX, short_text,
};

/// The roots that a path is compared with.
#[derive(Debug, Clone)]
pub struct Paths {
    roots: Vec<Root>,
    base: Option<Root>,
    /// Whether the path must lie outside all of them.
    outside: bool,
}

/// How paths are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Posix,
    Windows,
}

/// A folder that a document names.
#[derive(Debug, Clone)]
struct Root {
    style: Style,
    /// Empty, `c:` or `//server/share`.
    volume: String,
    segments: Vec<Template>,
}

/// A path in normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Spot<'t> {
    volume: Cow<'t, str>,
    segments: Vec<Cow<'t, str>>,
}

impl Paths {
    pub(super) fn read(mold: &Mold<'_>, base: Option<&Mold<'_>>, outside: bool) -> Result<Self, Vec<Misfit>> {
        let roots = mold.one_or_more(LIST_MAX)?.iter().map(Root::read).collect::<Result<_, _>>()?;
        let base = base.map(|base| {
            let root = Root::read(base)?;
            if root.has_department() {
                return Err(
                    base.misfits("has `<department>`, of which there may be several; name one folder")
                );
            }
            Ok(root)
        });
        Ok(Self { roots, base: base.transpose()?, outside })
    }

    pub(super) fn judge(&self, path: &str, facts: &Facts<'_>) -> Answer {
        let base = self.base.as_ref().map(|base| base.spot(facts)).transpose()?;
        let spot_as = |style| {
            let base = base.as_ref().filter(|_| self.base.as_ref().is_some_and(|base| base.style == style));
            // In a root they stand around a value of the subject's.
            if style == Style::Windows && path.contains(['<', '>']) {
                return Err("it holds what Windows programs may take for a wildcard");
            }
            locate(path, style, base)
        };
        let used = |style: &Style| self.roots.iter().any(|root| root.style == *style);
        let styles = [Style::Posix, Style::Windows].into_iter().filter(used);
        let spots: Vec<_> = styles.map(|style| (style, spot_as(style))).collect();
        // Placed in the way of some roots, a path is nowhere in the way of the others. But one with two slashes may be a
        // folder and a share, and counts as both.
        let all_count = path.starts_with("//") || spots.iter().all(|(_, spot)| spot.is_err());
        any(spots.iter().filter(|(_, spot)| all_count || spot.is_ok()).map(|(style, spot)| match spot {
            Ok(spot) => {
                let roots = self.roots.iter().filter(|root| root.style == *style);
                any(roots.map(|root| root.holds(spot, facts))).map(|within| within != self.outside)
            }
            Err(_) if self.outside => Ok(true),
            Err(why) => Err(Why::Path(why)),
        }))
    }

    /// Whether no path leads into a folder of each. "No" may mean that it isn't certain.
    pub(in super::super) fn is_apart_from(&self, other: &Self) -> bool {
        self.roots.iter().all(|one| other.roots.iter().all(|other| one.is_apart_from(other)))
    }

    /// Whether each of the folders is one of the other's or below one.
    pub(in super::super) fn lie_within(&self, other: &Self) -> bool {
        self.roots.iter().all(|inner| other.roots.iter().any(|outer| inner.lies_within(outer)))
    }
}

impl Root {
    fn read(mold: &Mold<'_>) -> Result<Self, Vec<Misfit>> {
        let text = short_text(mold)?;
        let style = if text.starts_with('/') { Style::Posix } else { Style::Windows };
        let Ok(Spot { volume, segments }) = locate(text, style, None) else {
            return Err(
                mold.misfits("is no absolute path; write it as `/srv`, `C:\\work` or `\\\\server\\share`")
            );
        };
        let is_separator = |character| character == '/' || (style == Style::Windows && character == '\\');
        if text.split(is_separator).any(|segment| segment == "." || segment == "..") {
            return Err(mold.misfits("has a `.` or `..`; write the path that is meant"));
        }
        if volume.contains('<') {
            return Err(mold.misfits("has a value of the subject's in the name of a drive or share"));
        }
        let volume = volume.into_owned();
        let segments = segments.iter().map(|segment| Template::parse(segment));
        let segments = segments.collect::<Result<_, _>>().map_err(|message| mold.misfits(&message))?;
        Ok(Self { style, volume, segments })
    }

    fn has_department(&self) -> bool {
        self.segments.iter().any(|segment| segment.has(Who::Department))
    }

    /// Whether a path leads to this folder or below it.
    fn holds(&self, spot: &Spot<'_>, facts: &Facts<'_>) -> Answer {
        each_department(facts, self.has_department(), |department| {
            let root = self.spot_for(facts, department)?;
            Ok(root.volume == spot.volume
                && root.segments.len() <= spot.segments.len()
                && root.segments.iter().zip(&spot.segments).all(|(own, other)| own == other))
        })
    }

    /// Whether no path leads to both or below. One path may be read in both styles, as `//srv/x/y` is.
    fn is_apart_from(&self, other: &Self) -> bool {
        let differ = |(one, other): (&Template, &Template)| {
            one.fixed().zip(other.fixed()).is_some_and(|(one, other)| one != other)
        };
        self.style == other.style
            && (self.volume != other.volume || self.segments.iter().zip(&other.segments).any(differ))
    }

    /// Whether every path that leads to this folder or below it leads to the other or below it.
    fn lies_within(&self, other: &Self) -> bool {
        self.style == other.style && self.volume == other.volume && self.segments.starts_with(&other.segments)
    }

    /// The folder that is meant for this subject.
    fn spot(&self, facts: &Facts<'_>) -> Result<Spot<'_>, Why> {
        self.spot_for(facts, None)
    }

    fn spot_for(&self, facts: &Facts<'_>, department: Option<&str>) -> Result<Spot<'_>, Why> {
        let mut segments = Vec::with_capacity(self.segments.len());
        for template in &self.segments {
            segments.push(match template.fixed() {
                Some(text) => Cow::Borrowed(text),
                None => Cow::Owned(self.filled(template, facts, department)?),
            });
        }
        Ok(Spot { volume: Cow::Borrowed(&self.volume), segments })
    }

    /// A segment with the subject's values in it, which must still be one segment.
    fn filled(
        &self,
        template: &Template,
        facts: &Facts<'_>,
        department: Option<&str>,
    ) -> Result<String, Why> {
        let mut text = String::new();
        template.fill(facts, department, as_part_of_a_name, &mut text)?;
        let unfit = Why::Unfit(Who::ALL.into_iter().find(|who| template.has(*who)).unwrap_or(Who::User));
        match self.style {
            Style::Posix if text == "." || text == ".." => Err(unfit),
            Style::Posix => Ok(text),
            Style::Windows => windows_name(&text).map(Cow::into_owned).map_err(|_| unfit),
        }
    }
}

/// Writes a value that leads nowhere else.
fn as_part_of_a_name(who: Who, value: &str, out: &mut String) -> Result<(), Why> {
    if value.contains(['/', '\\', '\0']) || value == "." || value == ".." {
        return Err(Why::Unfit(who));
    }
    out.push_str(value);
    Ok(())
}

/// Brings a path to normal form, or says why it has no place.
fn locate<'t>(path: &'t str, style: Style, base: Option<&Spot<'t>>) -> Result<Spot<'t>, &'static str> {
    if path.contains('\0') {
        return Err("it holds NUL");
    }
    if path.ends_with(char::is_whitespace) {
        return Err("it ends with white space, which some programs leave out");
    }
    match style {
        Style::Posix => locate_posix(path, base),
        Style::Windows => locate_windows(path, base),
    }
}

fn locate_posix<'t>(path: &'t str, base: Option<&Spot<'t>>) -> Result<Spot<'t>, &'static str> {
    if path.contains('\\') {
        return Err("it holds a backslash");
    }
    let start = if path.starts_with('/') {
        Spot { volume: Cow::Borrowed(""), segments: Vec::new() }
    } else {
        relative_to(path, base)?
    };
    walk(start, path.split('/'), |name| Ok(Cow::Borrowed(name)))
}

fn locate_windows<'t>(path: &'t str, base: Option<&Spot<'t>>) -> Result<Spot<'t>, &'static str> {
    let is_separator = |character: char| matches!(character, '/' | '\\');
    let bytes = path.as_bytes();
    let (start, rest) = match bytes {
        [b'/' | b'\\', b'/' | b'\\', ..] => {
            let mut pieces = path.splitn(5, is_separator).skip(2);
            let (server, share) = (pieces.next().unwrap_or_default(), pieces.next().unwrap_or_default());
            if share.ends_with('$') {
                return Err("it names an administrative share");
            }
            let volume = format!("//{}/{}", windows_name(server)?, windows_name(share)?);
            (Spot { volume: volume.into(), segments: Vec::new() }, pieces.next().unwrap_or_default())
        }
        [b'/' | b'\\', ..] => return Err("it names no drive"),
        [letter, b':', rest @ ..] if letter.is_ascii_alphabetic() => {
            if !matches!(rest.first(), Some(b'/' | b'\\')) {
                return Err("it is relative to a drive");
            }
            let volume = format!("{}:", char::from(letter.to_ascii_lowercase()));
            (Spot { volume: volume.into(), segments: Vec::new() }, path.get(2..).unwrap_or_default())
        }
        _ => (relative_to(path, base)?, path),
    };
    walk(start, rest.split(is_separator), windows_name)
}

/// What a relative path starts from.
fn relative_to<'t>(path: &str, base: Option<&Spot<'t>>) -> Result<Spot<'t>, &'static str> {
    if path.starts_with('~') {
        return Err("it begins with `~`");
    }
    if path.starts_with(['$', '%']) || path.starts_with(char::is_whitespace) {
        return Err("it begins with what shells and programs replace or leave out");
    }
    let head = path.split('/').next().unwrap_or_default();
    if head.split_once(':').is_some_and(|(scheme, _)| is_scheme(scheme)) {
        return Err("it looks like a URL or names a drive");
    }
    base.cloned().ok_or("it is relative, and there is no base")
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|other| other.is_ascii_alphanumeric() || matches!(other, '+' | '-' | '.'))
}

/// Follows the names of a path, one after the other. The top is above itself.
fn walk<'t>(
    start: Spot<'t>,
    names: impl Iterator<Item = &'t str>,
    name_of: impl Fn(&'t str) -> Result<Cow<'t, str>, &'static str>,
) -> Result<Spot<'t>, &'static str> {
    let mut spot = start;
    for name in names {
        match name {
            "" | "." => {}
            ".." => {
                spot.segments.pop();
            }
            name => spot.segments.push(name_of(name)?),
        }
    }
    Ok(spot)
}

/// A name as Windows compares it.
///
/// Source: Microsoft, Naming Files, Paths, and Namespaces.
fn windows_name(name: &str) -> Result<Cow<'_, str>, &'static str> {
    if name.is_empty() || name == "." || name == ".." || name == "?" {
        return Err("it has an empty or special name");
    }
    if name.ends_with(['.', ' ']) {
        return Err("a name in it ends with a dot or space, which Windows drops");
    }
    let is_special =
        |character: char| character.is_control() || matches!(character, ':' | '*' | '?' | '"' | '|' | '~');
    if name.contains(is_special) {
        return Err("a name in it holds what Windows reads otherwise");
    }
    if is_device(name) {
        return Err("a name in it is that of a device");
    }
    let folded: String = name.chars().map(folded).collect();
    if folded.chars().zip(name.chars()).any(|(folded, own)| folded.is_ascii() != own.is_ascii()) {
        return Err("a name in it has a letter that some take for another");
    }
    Ok(Cow::Owned(folded))
}

/// Whether Windows takes a name for that of a device, whatever its extension.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end_matches(' ').to_ascii_lowercase();
    let is_port = |prefix: &str| {
        let number = stem.strip_prefix(prefix).map(|number| number.chars().collect::<Vec<_>>());
        matches!(number.as_deref(), Some(['0'..='9' | '¹' | '²' | '³']))
    };
    ["con", "prn", "aux", "nul", "conin$", "conout$"].contains(&stem.as_str())
        || is_port("com")
        || is_port("lpt")
}

/// A letter as Windows compares it: each for itself, so that a name never changes its length.
fn folded(character: char) -> char {
    let alone = |of: &mut dyn Iterator<Item = char>| {
        let first = of.next();
        first.filter(|_| of.next().is_none())
    };
    let upper = alone(&mut character.to_uppercase()).unwrap_or(character);
    alone(&mut upper.to_lowercase()).unwrap_or(upper)
}
