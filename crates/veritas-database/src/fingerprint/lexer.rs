//! The lexer: bytes to tokens, for every SQL dialect at once, without ever failing.

/// What a token is, as far as normalizing needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// An unquoted word: keyword, identifier, function.
    Word,
    /// A quoted identifier (`"a"`, `` `a` ``).
    Quoted,
    /// A literal.
    Literal,
    /// A parameter.
    Parameter,
    /// An operator or punctuation.
    Symbol,
    /// Text whose meaning cannot be told: everything from here on is left out.
    Unreadable,
}

/// How a backslash in a plain string is read; settled once for a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backslash {
    Unknown,
    Plain,
    Escape,
    Undecidable,
}

/// Splits a statement into tokens; whitespace and comments fall between them.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    bytes: &'a [u8],
    position: usize,
    backslash: Backslash,
}

const SYMBOLS: [&[u8]; 26] = [
    b"#>>", b"->>", b"!~*", b"<=>", b"||", b"->", b"#>", b"@>", b"<@", b"&&", b"~*", b"!~", b"<<", b">>",
    b"::", b":=", b"=>", b"@@", b"<>", b"!=", b"<=", b">=", b"==", b"?|", b"?&", b"#-",
];

pub(super) const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

const fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

/// Words that a string may follow without a blank, and that then hold a parameter in the
/// text that the server shows: keywords, and types in front of a literal.
const BEFORE_STRINGS: [&str; 34] = [
    "all",
    "and",
    "between",
    "bit",
    "bool",
    "box",
    "bytea",
    "char",
    "cidr",
    "date",
    "distinct",
    "else",
    "float8",
    "from",
    "ilike",
    "in",
    "inet",
    "int",
    "interval",
    "json",
    "jsonb",
    "like",
    "not",
    "numeric",
    "or",
    "point",
    "select",
    "text",
    "then",
    "time",
    "timestamp",
    "timestamptz",
    "uuid",
    "when",
];

/// Returns how long the keyword is of a word that goes on with a parameter.
fn length_before_parameter(word: &[u8]) -> Option<usize> {
    let length = word.iter().position(|byte| *byte == b'$')?;
    let is_parameter = word.get(length + 1).is_some_and(u8::is_ascii_digit);
    let is_known =
        || BEFORE_STRINGS.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(&word[..length]));
    (is_parameter && is_known()).then_some(length)
}

/// Returns whether this is `N'…'` as the server shows it: `N$1`.
fn is_national_parameter(word: &[u8]) -> bool {
    word.len() > 2 && word[..2].eq_ignore_ascii_case(b"n$") && word[2..].iter().all(u8::is_ascii_digit)
}

impl<'a> Lexer<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0, backslash: Backslash::Unknown }
    }

    /// Returns the next token and the bytes it spans, or `None` at the end.
    pub(super) fn next(&mut self) -> Option<(Token, &'a [u8])> {
        self.skip_blanks();
        let start = self.position;
        let first = self.peek(0)?;
        let token = match first {
            b'\'' => self.string(false),
            b'"' => self.quoted(b'"'),
            b'`' => self.quoted(b'`'),
            b'0'..=b'9' => self.number(),
            b'.' if self.peek(1).is_some_and(|byte| byte.is_ascii_digit()) => self.number(),
            b'$' => self.dollar(),
            b'?' => self.question_mark(),
            b':' => self.colon(),
            b'@' => self.at_sign(),
            b'%' => self.percent(),
            byte if is_word_start(byte) => self.word(),
            _ => self.symbol(),
        };
        Some((token, &self.bytes[start..self.position]))
    }

    /// Returns whether the text goes on, after blanks and comments, with a number.
    pub(super) fn number_follows(&mut self) -> bool {
        self.skip_blanks();
        match self.peek(0) {
            Some(b'.') => self.peek(1).is_some_and(|byte| byte.is_ascii_digit()),
            Some(byte) => byte.is_ascii_digit(),
            None => false,
        }
    }

    /// Returns the byte that follows blanks and comments.
    pub(super) fn next_byte(&mut self) -> Option<u8> {
        self.skip_blanks();
        self.peek(0)
    }

    /// Returns whether the text goes on, after blanks and comments, with this word (lower case).
    pub(super) fn word_follows(&mut self, word: &[u8]) -> bool {
        self.skip_blanks();
        let rest = self.rest();
        rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
            && !rest.get(word.len()).is_some_and(|byte| is_word(*byte) || *byte == b'$')
    }

    /// Returns whether the text goes on with a number that is cast (`1::int`). The server
    /// casts before it changes the sign, so the sign before such a number is an operator.
    pub(super) fn cast_number_follows(&mut self) -> bool {
        if !self.number_follows() {
            return false;
        }
        let start = self.position;
        let _number = self.number();
        self.skip_blanks();
        let is_cast = self.rest().starts_with(b"::");
        self.position = start;
        is_cast
    }

    /// Returns whether the last token reached the end of the text.
    pub(super) const fn is_at_end(&self) -> bool {
        self.position >= self.bytes.len()
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.position + ahead).copied()
    }

    fn rest(&self) -> &'a [u8] {
        &self.bytes[self.position..]
    }

    /// Advances to the end or past the first byte that `stop` accepts.
    fn skip_while(&mut self, accept: impl Fn(u8) -> bool) {
        while self.peek(0).is_some_and(&accept) {
            self.position += 1;
        }
    }

    fn skip_blanks(&mut self) {
        loop {
            self.skip_while(|byte| byte <= b' ' || byte == 0x7f);
            if self.rest().starts_with(b"--") {
                self.skip_while(|byte| byte != b'\n');
            } else if self.rest().starts_with(b"/*") {
                self.skip_block_comment();
            } else {
                return;
            }
        }
    }

    /// Block comments nest in PostgreSQL and nowhere else. A comment that is
    /// not closed when nesting is counted ends at its first `*/`.
    fn skip_block_comment(&mut self) {
        let start = self.position;
        let mut first_end = None;
        let mut depth = 0_u32;
        while self.position < self.bytes.len() {
            if self.rest().starts_with(b"/*") {
                depth += 1;
                self.position += 2;
            } else if self.rest().starts_with(b"*/") {
                depth -= 1;
                self.position += 2;
                first_end.get_or_insert(self.position);
                if depth == 0 {
                    return;
                }
            } else {
                self.position += 1;
            }
        }
        // `/*` right before the end of the text must not step over it.
        self.position = first_end.unwrap_or(self.bytes.len()).max(start);
    }

    fn word(&mut self) -> Token {
        let start = self.position;
        self.skip_while(|byte| is_word(byte) || byte == b'$');
        let word = &self.bytes[start..self.position];
        // `interval'1 day'`, as pg_stat_statements shows it: `interval$1`.
        if let Some(length) = length_before_parameter(word) {
            self.position = start + length;
            return Token::Word;
        }
        if is_national_parameter(word) {
            return Token::Literal;
        }
        let next = self.peek(0);
        if next == Some(b'\'') && word.len() == 1 {
            match word[0].to_ascii_lowercase() {
                b'e' => return self.string(true),
                b'b' | b'x' | b'n' => return self.string(false),
                _ => {}
            }
        }
        if next == Some(b'&') && word.eq_ignore_ascii_case(b"u") {
            match self.peek(1) {
                Some(b'\'') => {
                    self.position += 1;
                    return self.string(false);
                }
                Some(b'"') => {
                    self.position += 1;
                    return self.quoted(b'"');
                }
                _ => {}
            }
        }
        Token::Word
    }

    fn string(&mut self, escapes: bool) -> Token {
        self.position += 1;
        loop {
            match self.peek(0) {
                None => return Token::Literal,
                Some(b'\\') if escapes || self.backslash == Backslash::Escape => self.position += 2,
                Some(b'\\') if self.backslash == Backslash::Unknown => {
                    let run = self.rest().iter().take_while(|byte| **byte == b'\\').count();
                    // After an even run both readings agree on the quote.
                    if self.peek(run) != Some(b'\'') || run % 2 == 0 {
                        self.position += run;
                        continue;
                    }
                    self.backslash = self.settle_backslash();
                    if self.backslash == Backslash::Undecidable {
                        self.position = self.bytes.len();
                        return Token::Unreadable;
                    }
                }
                Some(b'\'') if self.peek(1) == Some(b'\'') => self.position += 2,
                Some(b'\'') => {
                    self.position += 1;
                    if !self.continues_in_next_line() {
                        return Token::Literal;
                    }
                }
                Some(_) => self.position += 1,
            }
            self.position = self.position.min(self.bytes.len());
        }
    }

    /// Behind a string: steps into the one that continues it. Standard SQL joins strings with
    /// a line break between them.
    fn continues_in_next_line(&mut self) -> bool {
        let start = self.position;
        self.skip_blanks();
        let is_continued = self.peek(0) == Some(b'\'') && self.bytes[start..self.position].contains(&b'\n');
        self.position = if is_continued { self.position + 1 } else { start };
        is_continued
    }

    /// Standing on the backslashes before a quote inside a string: an odd number of the quotes from
    /// here on closes the string, under the reading that is right.
    fn settle_backslash(&self) -> Backslash {
        let (mut all, mut unescaped) = (0_usize, 0_usize);
        let mut escaped = false;
        for byte in self.rest() {
            match byte {
                b'\'' => {
                    all += 1;
                    unescaped += usize::from(!escaped);
                    escaped = false;
                }
                b'\\' => escaped = !escaped,
                _ => escaped = false,
            }
        }
        match (all % 2 == 1, unescaped % 2 == 1) {
            (true, false) => Backslash::Plain,
            (false, true) => Backslash::Escape,
            _ => Backslash::Undecidable,
        }
    }

    fn quoted(&mut self, quote: u8) -> Token {
        self.position += 1;
        loop {
            self.skip_while(|byte| byte != quote);
            if self.peek(0).is_none() {
                // Never closed: who knows what it is.
                return Token::Unreadable;
            }
            self.position += 1;
            if self.peek(0) != Some(quote) {
                return Token::Quoted;
            }
            self.position += 1;
        }
    }

    fn number(&mut self) -> Token {
        // Also `0x1F`, `1_000`, `12abc`: whatever hangs on a number goes with it.
        loop {
            self.skip_while(|byte| is_word(byte) || byte == b'.');
            let signed_exponent = matches!(self.peek(0), Some(b'+' | b'-'))
                && matches!(self.bytes[self.position - 1], b'e' | b'E')
                && self.peek(1).is_some_and(|byte| byte.is_ascii_digit());
            if !signed_exponent {
                return Token::Literal;
            }
            self.position += 1;
        }
    }

    fn dollar(&mut self) -> Token {
        let tag = self.rest()[1..].iter().take_while(|byte| is_word(**byte)).count();
        let starts_with_digit = self.peek(1).is_some_and(|byte| byte.is_ascii_digit());
        if self.peek(1 + tag) == Some(b'$') && !starts_with_digit {
            let delimiter = &self.rest()[..tag + 2];
            self.position += delimiter.len();
            // A delimiter starts with `$`, which a tag cannot hold: every
            // candidate is looked at once.
            while self.position < self.bytes.len() {
                if self.rest().starts_with(delimiter) {
                    self.position += delimiter.len();
                    return Token::Literal;
                }
                self.position += 1;
                self.skip_while(|byte| byte != b'$');
            }
            return Token::Literal;
        }
        self.position += 1;
        if starts_with_digit {
            // `'a'from t`, as pg_stat_statements shows it: `$1from t`.
            self.skip_while(|byte| byte.is_ascii_digit());
        } else {
            self.position += tag;
        }
        if tag == 0 { Token::Symbol } else { Token::Parameter }
    }

    fn question_mark(&mut self) -> Token {
        if matches!(self.peek(1), Some(b'|' | b'&'))
            && self.peek(2) != Some(b'|')
            && self.peek(2) != Some(b'&')
        {
            return self.symbol();
        }
        self.position += 1;
        self.skip_while(|byte| byte.is_ascii_digit());
        Token::Parameter
    }

    fn colon(&mut self) -> Token {
        if self.peek(1).is_some_and(is_word) {
            self.position += 1;
            self.skip_while(is_word);
            return Token::Parameter;
        }
        self.symbol()
    }

    fn at_sign(&mut self) -> Token {
        if self.peek(1).is_some_and(is_word) {
            self.position += 1;
            self.skip_while(is_word);
            return Token::Parameter;
        }
        self.symbol()
    }

    fn percent(&mut self) -> Token {
        if self.peek(1) == Some(b's') && !self.peek(2).is_some_and(is_word) {
            self.position += 2;
            return Token::Parameter;
        }
        if self.peek(1) == Some(b'(') {
            let name = self.rest()[2..].iter().take_while(|byte| is_word(**byte)).count();
            if name > 0 && self.rest()[2 + name..].starts_with(b")s") {
                self.position += name + 4;
                return Token::Parameter;
            }
        }
        self.symbol()
    }

    fn symbol(&mut self) -> Token {
        let length =
            SYMBOLS.iter().find(|symbol| self.rest().starts_with(symbol)).map_or(1, |known| known.len());
        self.position += length;
        Token::Symbol
    }
}
