//! Cuts a statement into words by the server's rules (`scan.l`), and writes them anew.
//!
//! What is written holds names, plain strings, numbers, parameters, operators and
//! punctuation, one blank between them and no comment: no spelling is left that two
//! readers could cut differently. What is rare and easy to hide behind (`U&'…'`, strings
//! over several lines) is refused.

use super::{LONGEST, Refusal};

/// Names are cut to this many bytes by the server.
const LONGEST_NAME: usize = 63;
/// Statements of more words are not looked at.
const MOST_WORDS: usize = 60_000;
/// Brackets nested deeper are not looked at.
const DEEPEST: usize = 24;
/// What chains: each operator may nest one level deeper.
const MOST_LINKS: usize = 2_000;

/// One word of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    /// A keyword or a name without quotes, folded as the server does.
    Plain(String),
    /// A name in double quotes, without them.
    Quoted(String),
    /// The value of a string.
    Text(String),
    /// A string of bits, with its prefix and quotes.
    Bits(String),
    /// A number.
    Number(String),
    /// A parameter.
    Parameter(usize),
    /// An operator.
    Operator(String),
    /// One of `( ) [ ] , ; . : :: := .. =>`.
    Mark(&'static str),
}

impl Word {
    /// Tells whether it is this keyword, or name, without quotes.
    pub(super) fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Plain(word) if word == keyword)
    }

    /// Tells whether it is one of these keywords.
    pub(super) fn is_any(&self, keywords: &[&str]) -> bool {
        matches!(self, Self::Plain(word) if keywords.contains(&word.as_str()))
    }

    /// Tells whether it is this mark.
    pub(super) fn is_mark(&self, mark: &str) -> bool {
        matches!(self, Self::Mark(word) if *word == mark)
    }

    /// Returns the name that it may be.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Plain(name) | Self::Quoted(name) => Some(name),
            _ => None,
        }
    }
}

/// Writes words as a statement.
pub(super) fn write(words: &[Word]) -> String {
    let mut text = String::new();
    let mut before: Option<&Word> = None;
    for word in words {
        let glued = word.is_mark(".") || before.is_none_or(|before| before.is_mark("."));
        if !glued {
            text.push(' ');
        }
        match word {
            Word::Plain(name) => text.push_str(name),
            Word::Quoted(name) => quote(&mut text, '"', name),
            Word::Text(value) => quote(&mut text, '\'', value),
            Word::Bits(raw) | Word::Number(raw) | Word::Operator(raw) => text.push_str(raw),
            Word::Parameter(number) => {
                text.push('$');
                text.push_str(&number.to_string());
            }
            Word::Mark(mark) => text.push_str(mark),
        }
        before = Some(word);
    }
    text
}

fn quote(text: &mut String, mark: char, value: &str) {
    text.push(mark);
    for letter in value.chars() {
        if letter == mark {
            text.push(mark);
        }
        text.push(letter);
    }
    text.push(mark);
}

/// Cuts a statement into words; a single semicolon at the end is left out.
pub(super) fn cut(sql: &str) -> Result<Vec<Word>, Refusal> {
    if sql.len() > LONGEST {
        return Err(Refusal::TooLong);
    }
    let mut cutter = Cutter { bytes: sql.as_bytes(), sql, at: 0 };
    let mut words: Vec<Word> = Vec::new();
    let (mut depth, mut links) = (0_usize, 0_usize);
    while let Some(word) = cutter.next()? {
        match &word {
            Word::Mark("(" | "[") => depth += 1,
            Word::Mark(")" | "]") => depth = depth.checked_sub(1).ok_or(Refusal::Malformed)?,
            Word::Operator(_) | Word::Mark("::") => links += 1,
            Word::Plain(keyword) if is_link(keyword) => links += 1,
            Word::Text(_) if matches!(words.last(), Some(Word::Text(_) | Word::Bits(_))) => {
                return Err(Refusal::Spelling("a string over several lines"));
            }
            _ => {}
        }
        if depth > DEEPEST || links > MOST_LINKS || words.len() >= MOST_WORDS {
            return Err(Refusal::TooDeep);
        }
        words.push(word);
    }
    if depth != 0 {
        return Err(Refusal::Malformed);
    }
    while words.last().is_some_and(|word| word.is_mark(";")) {
        let _semicolon = words.pop();
    }
    if words.is_empty() || words.iter().any(|word| word.is_mark(";")) {
        return Err(Refusal::NotOne);
    }
    Ok(words)
}

fn is_link(keyword: &str) -> bool {
    matches!(
        keyword,
        "and"
            | "or"
            | "not"
            | "union"
            | "except"
            | "intersect"
            | "join"
            | "is"
            | "like"
            | "ilike"
            | "between"
            | "in"
            | "case"
            | "at"
            | "collate"
            | "isnull"
            | "notnull"
            | "similar"
            | "select"
            | "from"
    )
}

struct Cutter<'a> {
    bytes: &'a [u8],
    sql: &'a str,
    at: usize,
}

impl Cutter<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn next(&mut self) -> Result<Option<Word>, Refusal> {
        self.skip_blanks()?;
        let Some(&first) = self.bytes.get(self.at) else { return Ok(None) };
        let word = match first {
            b'\'' => Word::Text(self.quoted(b'\'')?),
            b'"' => self.quoted_name()?,
            b'$' => self.dollar()?,
            b'0'..=b'9' => self.number()?,
            b'.' if self.peek(1).is_ascii_digit() => self.number()?,
            _ if is_name_start(first) => return self.name().map(Some),
            b'(' | b')' | b'[' | b']' | b',' | b';' | b'.' | b':' => Word::Mark(self.mark()),
            _ if is_operator(first) => self.operator(),
            _ => return Err(Refusal::Malformed),
        };
        Ok(Some(word))
    }

    /// Skips blanks and comments; those between `/*` and `*/` nest.
    fn skip_blanks(&mut self) -> Result<(), Refusal> {
        loop {
            match (self.peek(0), self.peek(1)) {
                (b' ' | b'\t' | b'\n' | b'\r' | 0x0c, _) => self.at += 1,
                (b'-', b'-') => {
                    let rest = &self.bytes[self.at..];
                    let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
                    self.at += end.unwrap_or(rest.len());
                }
                (b'/', b'*') => {
                    let mut depth = 0_usize;
                    loop {
                        match (self.peek(0), self.peek(1)) {
                            (b'/', b'*') => {
                                depth += 1;
                                self.at += 2;
                            }
                            (b'*', b'/') => {
                                depth -= 1;
                                self.at += 2;
                            }
                            _ if self.at >= self.bytes.len() => return Err(Refusal::Malformed),
                            _ => self.at += 1,
                        }
                        if depth == 0 {
                            break;
                        }
                    }
                }
                _ => return Ok(()),
            }
        }
    }

    /// Reads to the end of what `mark` opened; the mark twice is the mark.
    fn quoted(&mut self, mark: u8) -> Result<String, Refusal> {
        let mut value = Vec::new();
        self.at += 1;
        loop {
            let byte = *self.bytes.get(self.at).ok_or(Refusal::Malformed)?;
            self.at += 1;
            if byte == mark {
                if self.peek(0) != mark {
                    break;
                }
                self.at += 1;
            }
            value.push(byte);
        }
        text(value)
    }

    fn quoted_name(&mut self) -> Result<Word, Refusal> {
        let name = self.quoted(b'"')?;
        if name.is_empty() {
            return Err(Refusal::Malformed);
        }
        Ok(Word::Quoted(shortened(name)))
    }

    fn dollar(&mut self) -> Result<Word, Refusal> {
        if self.peek(1).is_ascii_digit() {
            self.at += 1;
            let number = self.digits();
            if is_name_start(self.peek(0)) {
                return Err(Refusal::Malformed);
            }
            let number = number.parse().ok().filter(|number| (1..=1_000).contains(number));
            return number.map(Word::Parameter).ok_or(Refusal::Malformed);
        }
        let rest = &self.sql[self.at..];
        let tag = rest[1..].find('$').map(|end| &rest[..end + 2]).ok_or(Refusal::Malformed)?;
        let inner = &tag.as_bytes()[1..tag.len() - 1];
        let is_tag = inner.first().is_none_or(|first| is_name_start(*first))
            && inner.iter().all(|byte| is_name_start(*byte) || byte.is_ascii_digit());
        if !is_tag {
            return Err(Refusal::Malformed);
        }
        let value = &rest[tag.len()..];
        let end = value.find(tag).ok_or(Refusal::Malformed)?;
        self.at += tag.len() + end + tag.len();
        text(value.as_bytes()[..end].to_vec()).map(Word::Text)
    }

    fn digits(&mut self) -> String {
        let start = self.at;
        while self.peek(0).is_ascii_digit() {
            self.at += 1;
        }
        self.sql[start..self.at].to_owned()
    }

    fn number(&mut self) -> Result<Word, Refusal> {
        let mut number = self.digits();
        if self.peek(0) == b'.' && self.peek(1) != b'.' {
            self.at += 1;
            number.push('.');
            number.push_str(&self.digits());
        }
        if matches!(self.peek(0), b'e' | b'E') {
            let signed = usize::from(matches!(self.peek(1), b'+' | b'-'));
            if self.peek(1 + signed).is_ascii_digit() {
                number.push_str(&self.sql[self.at..=self.at + signed]);
                self.at += 1 + signed;
                number.push_str(&self.digits());
            }
        }
        // `1_000`, `0x1F` and `12abc` mean other things to other versions.
        if is_name_start(self.peek(0)) || self.peek(0) == b'.' {
            return Err(Refusal::Spelling("a number with letters"));
        }
        Ok(Word::Number(number))
    }

    fn name(&mut self) -> Result<Word, Refusal> {
        match (self.peek(0), self.peek(1), self.peek(2)) {
            (b'e' | b'E', b'\'', _) => {
                self.at += 1;
                return self.escaped().map(Word::Text);
            }
            (b'b' | b'B' | b'x' | b'X', b'\'', _) => {
                let prefix = char::from(self.peek(0));
                self.at += 1;
                let digits = self.quoted(b'\'')?;
                if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return Err(Refusal::Malformed);
                }
                return Ok(Word::Bits(format!("{prefix}'{digits}'")));
            }
            (b'n' | b'N', b'\'', _) => return Err(Refusal::Spelling("a string with the prefix N")),
            (b'u' | b'U', b'&', b'\'' | b'"') => {
                return Err(Refusal::Spelling("a string with the prefix U&"));
            }
            _ => {}
        }
        let start = self.at;
        while is_name_start(self.peek(0)) || self.peek(0).is_ascii_digit() || self.peek(0) == b'$' {
            self.at += 1;
        }
        let mut name = self.sql[start..self.at].to_owned();
        name.make_ascii_lowercase();
        Ok(Word::Plain(shortened(name)))
    }

    /// Reads `'…'` with backslashes.
    fn escaped(&mut self) -> Result<String, Refusal> {
        let mut value = Vec::new();
        self.at += 1;
        loop {
            let byte = *self.bytes.get(self.at).ok_or(Refusal::Malformed)?;
            self.at += 1;
            match byte {
                b'\'' if self.peek(0) == b'\'' => {
                    self.at += 1;
                    value.push(b'\'');
                }
                b'\'' => break,
                b'\\' => self.escape(&mut value)?,
                _ => value.push(byte),
            }
        }
        text(value)
    }

    fn escape(&mut self, value: &mut Vec<u8>) -> Result<(), Refusal> {
        let letter = *self.bytes.get(self.at).ok_or(Refusal::Malformed)?;
        self.at += 1;
        match letter {
            b'b' => value.push(0x08),
            b'f' => value.push(0x0c),
            b'n' => value.push(b'\n'),
            b'r' => value.push(b'\r'),
            b't' => value.push(b'\t'),
            // Codes can build any byte; who needs one writes it.
            b'0'..=b'7' | b'x' | b'u' | b'U' => {
                return Err(Refusal::Spelling("a string with codes of letters"));
            }
            other => value.push(other),
        }
        Ok(())
    }

    fn mark(&mut self) -> &'static str {
        let (mark, length) = match (self.peek(0), self.peek(1)) {
            (b':', b':') => ("::", 2),
            (b':', b'=') => (":=", 2),
            (b'.', b'.') => ("..", 2),
            (b'(', _) => ("(", 1),
            (b')', _) => (")", 1),
            (b'[', _) => ("[", 1),
            (b']', _) => ("]", 1),
            (b',', _) => (",", 1),
            (b';', _) => (";", 1),
            (b'.', _) => (".", 1),
            _ => (":", 1),
        };
        self.at += length;
        mark
    }

    /// The longest run of operator letters that opens no comment; `+` and `-` end one
    /// only beside letters that standard SQL has no use for.
    fn operator(&mut self) -> Word {
        let rest = &self.bytes[self.at..];
        let mut length = rest.iter().position(|byte| !is_operator(*byte)).unwrap_or(rest.len());
        let comment = (0..length.saturating_sub(1))
            .find(|at| matches!((rest[*at], rest[*at + 1]), (b'-', b'-') | (b'/', b'*')));
        length = comment.unwrap_or(length);
        let is_own = rest[..length].iter().any(|byte| b"~!@#%^&|`?".contains(byte));
        while length > 1 && !is_own && matches!(rest[length - 1], b'+' | b'-') {
            length -= 1;
        }
        let operator = self.sql[self.at..self.at + length].to_owned();
        self.at += length;
        if operator == "=>" { Word::Mark("=>") } else { Word::Operator(operator) }
    }
}

const fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

const fn is_operator(byte: u8) -> bool {
    matches!(
        byte,
        b'~' | b'!'
            | b'@'
            | b'#'
            | b'^'
            | b'&'
            | b'|'
            | b'`'
            | b'?'
            | b'+'
            | b'-'
            | b'*'
            | b'/'
            | b'%'
            | b'<'
            | b'>'
            | b'='
    )
}

fn text(bytes: Vec<u8>) -> Result<String, Refusal> {
    if bytes.contains(&0) {
        return Err(Refusal::Malformed);
    }
    String::from_utf8(bytes).map_err(|_not_text| Refusal::Malformed)
}

/// Cuts a name as the server does.
fn shortened(mut name: String) -> String {
    let mut end = name.len().min(LONGEST_NAME);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sql: &str, written: &str) {
        assert_eq!(cut(sql).map(|words| write(&words)).as_deref(), Ok(written), "{sql}");
    }

    #[test]
    fn words_are_cut_where_the_server_cuts_them() {
        check("SELECT 1", "select 1");
        check("select/* a /* nested */ comment */a--b\n,c", "select a , c");
        check("select 'it''s' , E'a\\'b\\\\'", "select 'it''s' , 'a''b\\'");
        check("select $q$ ; drop table t; $q$, $1", "select ' ; drop table t; ' , $1");
        check("select a$b$c from t", "select a$b$c from t");
        check("select \"A\"\"b\".\"c\" ", "select \"A\"\"b\".\"c\"");
        check("select a.*,1.5e-3,.5 from s.t;", "select a.* , 1.5e-3 , .5 from s.t");
        check("select a@>b, a<-1, a||-1, 2*-3", "select a @> b , a < - 1 , a ||- 1 , 2 * - 3");
        check("select a+--x\n-1, a*/**/b", "select a + - 1 , a * b");
        check("select x'1F', b'01', a::int[]", "select x'1F' , b'01' , a :: int [ ]");
    }

    #[track_caller]
    fn check_refused(sql: &str, expected: &Refusal) {
        assert_eq!(cut(sql).as_ref(), Err(expected), "{sql}");
    }

    #[test]
    fn what_could_be_read_otherwise_is_refused() {
        check_refused("select 1; select 2", &Refusal::NotOne);
        check_refused("", &Refusal::NotOne);
        check_refused(" ; ; ", &Refusal::NotOne);
        check_refused("select 'a", &Refusal::Malformed);
        check_refused("select /* a /* b */", &Refusal::Malformed);
        check_refused("select 1)", &Refusal::Malformed);
        check_refused("select (1", &Refusal::Malformed);
        check_refused("select \\g", &Refusal::Malformed);
        check_refused("select 'a'\n'b'", &Refusal::Spelling("a string over several lines"));
        check_refused("select U&'\\0061'", &Refusal::Spelling("a string with the prefix U&"));
        check_refused("select 12abc", &Refusal::Spelling("a number with letters"));
        check_refused(&"(".repeat(100), &Refusal::TooDeep);
        check_refused(&"a".repeat(LONGEST + 1), &Refusal::TooLong);
        check_refused(&format!("select 1{}", "+1".repeat(100_000)), &Refusal::TooDeep);
    }

    #[test]
    fn a_long_name_is_the_name_that_the_server_cuts_it_to() {
        let name = "é".repeat(40);
        assert_eq!(cut(&format!("select {name}")).unwrap()[1], Word::Plain("é".repeat(31)));
    }
}
