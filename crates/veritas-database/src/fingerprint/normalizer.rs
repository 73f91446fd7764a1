//! The normalizer: one pass from tokens to the canonical text.

use super::lexer::{Lexer, Token};

/// Bytes of a statement that are read; the rest is cut off. Keeps the time of
/// one call below a millisecond.
pub const INPUT_LIMIT: usize = 64 * 1024;

/// Bytes of a normalized statement; the rest is cut off.
pub const OUTPUT_LIMIT: usize = 16 * 1024;

/// What a statement that was cut ends with.
pub const CUT_MARK: &str = " …";

/// Returns a statement without its literals and comments, in canonical spacing.
///
/// Normalizing twice gives the same text. A statement longer than
/// [`INPUT_LIMIT`], or whose normalized text exceeds [`OUTPUT_LIMIT`], is cut at
/// a token and ends with [`CUT_MARK`]. Never fails, whatever the text.
///
/// Cost: one pass, linear, and the allocation of the result.
///
/// ```
/// use veritas_database::fingerprint::normalize;
///
/// assert_eq!(
///     normalize("SELECT  name FROM \"Users\" WHERE id IN (1, 2, 3) AND mail = 'a@b.c' -- vip"),
///     "select name from \"Users\" where id in (?) and mail = ?",
/// );
/// ```
pub fn normalize(sql: &str) -> String {
    normalize_and_look(sql).0
}

/// Normalizes, and tells whether the text had parameters in it.
pub(super) fn normalize_and_look(sql: &str) -> (String, bool) {
    let bytes = sql.as_bytes();
    let cut = bytes.len() > INPUT_LIMIT;
    let mut writer = Writer::new(bytes.len().min(OUTPUT_LIMIT));
    let mut lexer = Lexer::new(&bytes[..bytes.len().min(INPUT_LIMIT)]);
    let mut has_parameters = false;
    while let Some((token, text)) = lexer.next() {
        // The last token of a text that was cut may be half a token.
        if cut && lexer.is_at_end() {
            break;
        }
        has_parameters |= token == Token::Parameter;
        writer.accept(token, text, &mut lexer);
        if writer.full {
            break;
        }
    }
    (writer.finish(cut), has_parameters)
}

/// The role that the last token gives to a sign or a double-quoted word after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// The start, an opening bracket, a comma, an operator, a keyword that
    /// wants an expression: an operand follows.
    Operator,
    /// Like `Operator`, and what follows is compared with something.
    Comparison,
    /// An operand: an operator follows.
    Operand,
}

/// A list whose equal elements are written once.
#[derive(Debug, Clone, Copy)]
struct List {
    /// Bracket depth of its elements (for `VALUES`: outside the rows).
    depth: u32,
    /// Whether it is the rows after `VALUES`.
    rows: bool,
    /// The element before, as a range of the output.
    previous: (usize, usize),
    /// Where the present element starts; `None` before its first token.
    current: Option<usize>,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent things that one token tells the next")]
struct Writer {
    out: Vec<u8>,
    before: Before,
    /// Whether the next token follows without a space.
    glued: bool,
    last_word: (usize, usize),
    last: Token,
    depth: u32,
    /// Which of the innermost brackets are square, the innermost in the lowest bit.
    square: u64,
    /// The innermost lists, at most [`LISTS`].
    lists: Vec<List>,
    /// Whether the next token is the first in the brackets of `extract`.
    in_extract: bool,
    /// Whether the last word is a `not` whose constant stays: `is not null`, `a int not null`.
    keeps_constant: bool,
    full: bool,
}

/// Nested lists that are tracked; deeper ones are written in full.
const LISTS: usize = 8;

/// Words after which a minus is a sign and a bracket stands off.
fn wants_operand(word: &[u8]) -> bool {
    matches!(
        word,
        b"select"
            | b"where"
            | b"and"
            | b"or"
            | b"not"
            | b"then"
            | b"else"
            | b"when"
            | b"between"
            | b"in"
            | b"like"
            | b"ilike"
            | b"limit"
            | b"offset"
            | b"by"
            | b"values"
            | b"set"
            | b"case"
            | b"returning"
            | b"default"
            | b"distinct"
            | b"all"
            | b"is"
            | b"having"
            | b"on"
            | b"from"
            | b"join"
            | b"as"
            | b"using"
            | b"union"
            | b"except"
            | b"intersect"
            | b"exists"
            | b"into"
            | b"over"
            | b"filter"
            | b"return"
            | b"interval"
            | b"top"
            | b"symmetric"
            | b"asymmetric"
            | b"to"
            | b"for"
            | b"placing"
            | b"variadic"
            | b"div"
            | b"xor"
    )
}

impl Writer {
    fn new(capacity: usize) -> Self {
        Self {
            out: Vec::with_capacity(capacity + 8),
            before: Before::Operator,
            glued: true,
            last_word: (0, 0),
            last: Token::Symbol,
            depth: 0,
            square: 0,
            lists: Vec::new(),
            in_extract: false,
            keeps_constant: false,
            full: false,
        }
    }

    fn accept(&mut self, token: Token, text: &[u8], lexer: &mut Lexer<'_>) {
        // `extract(year from …)`: the server takes the field for a literal.
        let is_field = std::mem::take(&mut self.in_extract)
            && matches!(token, Token::Word | Token::Quoted)
            && lexer.word_follows(b"from");
        match token {
            Token::Word | Token::Quoted if is_field => self.operand(b"?"),
            Token::Word => self.word(text, lexer),
            Token::Quoted => self.quoted(text, lexer),
            Token::Parameter if text[0] == b':' && self.is_end_of_slice(text) => {
                self.slice(&text[1..], lexer);
            }
            Token::Literal | Token::Parameter => self.operand(b"?"),
            Token::Symbol => self.symbol(text, lexer),
            Token::Unreadable => {
                self.operand(b"?");
                self.full = true;
            }
        }
        let is_replaced = token == Token::Word && self.out.last() == Some(&b'?');
        self.last = if is_replaced { Token::Literal } else { token };
    }

    /// Writes a token with the space before it that it needs.
    fn write(&mut self, text: &[u8], glue_before: bool) -> usize {
        let space = !(self.glued || glue_before);
        if self.out.len() + usize::from(space) + text.len() + CUT_MARK.len() > OUTPUT_LIMIT {
            self.full = true;
            return self.out.len();
        }
        if space {
            self.out.push(b' ');
        }
        let start = self.out.len();
        self.out.extend_from_slice(text);
        self.glued = false;
        if let Some(list) = self.lists.last_mut() {
            let is_element = if list.rows { self.depth > list.depth } else { self.depth >= list.depth };
            if is_element && list.current.is_none() {
                list.current = Some(start);
            }
        }
        start
    }

    fn operand(&mut self, text: &[u8]) {
        self.end_rows();
        self.write(text, false);
        self.before = Before::Operand;
    }

    /// Returns whether `:name` or `:7` is the end of a slice (`a[1:7]`), not a parameter.
    fn is_end_of_slice(&self, text: &[u8]) -> bool {
        self.square & 1 == 1 && (self.before == Before::Operand || text[1].is_ascii_digit())
    }

    fn slice(&mut self, end: &[u8], lexer: &mut Lexer<'_>) {
        self.write(b":", false);
        self.before = Before::Operator;
        if end[0].is_ascii_digit() { self.operand(b"?") } else { self.word(end, lexer) }
    }

    fn word(&mut self, text: &[u8], lexer: &mut Lexer<'_>) {
        // `SAVEPOINT sa_savepoint_12`: generated names, one statement.
        let is_generated_name = self.follows_word(b"savepoint") && text != CUT_MARK.trim_start().as_bytes();
        if is_generated_name || self.is_constant(text, lexer) {
            self.operand(b"?");
            return;
        }
        let was_operand = self.before == Before::Operand;
        let followed_is = self.follows_word(b"is");
        self.end_rows();
        let start = self.write(text, false);
        if self.full {
            return;
        }
        self.out[start..].make_ascii_lowercase();
        self.last_word = (start, self.out.len());
        let word = &self.out[start..];
        self.before = match word {
            b"like" | b"ilike" => Before::Comparison,
            word if wants_operand(word) => Before::Operator,
            _ => Before::Operand,
        };
        match word {
            b"not" => self.keeps_constant = was_operand || followed_is,
            b"values" => self.push_list(true, self.depth),
            _ => {}
        }
    }

    /// Returns whether a word is one of those that the server takes for literals.
    fn is_constant(&self, text: &[u8], lexer: &mut Lexer<'_>) -> bool {
        let is_one_of = |words: &[&[u8]]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
        match text.first() {
            Some(b'n' | b'N' | b't' | b'T' | b'f' | b'F') if is_one_of(&[b"null", b"true", b"false"]) => {
                self.before != Before::Operand
                    && !self.follows_word(b"is")
                    && !(self.keeps_constant && self.follows_word(b"not"))
            }
            // `normalize(a, nfc)`, `a is nfc normalized`.
            Some(b'n' | b'N') if is_one_of(&[b"nfc", b"nfd", b"nfkc", b"nfkd"]) => {
                self.out.last() == Some(&b',') && lexer.next_byte() == Some(b')')
                    || (self.follows_word(b"is") || self.follows_word(b"not"))
                        && lexer.word_follows(b"normalized")
            }
            Some(b'a' | b'A') => self.follows_word(b"limit") && is_one_of(&[b"all"]),
            _ => false,
        }
    }

    /// Returns whether the last token is this word (lower case).
    fn follows_word(&self, word: &[u8]) -> bool {
        let (start, end) = self.last_word;
        self.last == Token::Word && self.out.get(start..end) == Some(word)
    }

    fn quoted(&mut self, text: &[u8], lexer: &mut Lexer<'_>) {
        let in_values = self.lists.last().is_some() && matches!(self.out.last(), Some(b'(' | b','));
        let is_string = text.first() == Some(&b'"')
            && (self.before == Before::Comparison || in_values)
            && match lexer.next_byte() {
                Some(b'(') => false,
                // `"a".b` is qualified, `"a" .5` is not.
                Some(b'.') => lexer.number_follows(),
                _ => true,
            };
        if is_string {
            self.operand(b"?");
        } else {
            self.operand(text);
        }
    }

    fn symbol(&mut self, text: &[u8], lexer: &mut Lexer<'_>) {
        match text {
            // A plus that adds nothing; the server shows `= +1` as `= +$1`, and `= -1` as `= $1`.
            b"+" if self.before != Before::Operand => return,
            b"-" if self.before != Before::Operand
                && lexer.number_follows()
                && !lexer.cast_number_follows() =>
            {
                return;
            }
            b"(" | b"[" => return self.open(text),
            b")" | b"]" => return self.close(text),
            b"," => return self.comma(),
            _ => {}
        }
        self.end_rows();
        match text {
            b"." => {
                self.write(text, self.before == Before::Operand);
                self.glued = true;
                self.before = Before::Operand;
            }
            b"::" => {
                self.write(text, self.before == Before::Operand);
                self.glued = true;
                self.before = Before::Operator;
            }
            b";" => {
                self.write(text, true);
                self.before = Before::Operator;
            }
            b"*" if self.before != Before::Operand => {
                // `count(*)`, `select *`: an operand.
                self.write(text, false);
                self.before = Before::Operand;
            }
            _ => {
                let text: &[u8] = match text {
                    b"!=" => b"<>",
                    b"==" => b"=",
                    other => other,
                };
                self.write(text, false);
                self.before = match text {
                    b"=" | b"<>" | b"<" | b">" | b"<=" | b">=" | b"<=>" | b"~" | b"~*" | b"!~" | b"!~*" => {
                        Before::Comparison
                    }
                    _ => Before::Operator,
                };
            }
        }
    }

    fn open(&mut self, text: &[u8]) {
        let (start, end) = self.last_word;
        let word = if self.last == Token::Word { &self.out[start..end] } else { &[] };
        let is_list = match text {
            b"(" => word == b"in" || word == b"any" || word == b"all",
            _ => word == b"array",
        };
        self.in_extract = text == b"(" && word == b"extract";
        let stands_off = self.before != Before::Operand || word.is_empty() && text == b"(";
        if self.lists.last().is_some_and(|list| list.rows && list.depth == self.depth) {
            // The first token of a row.
        } else {
            self.end_rows();
        }
        let depth = self.depth;
        self.depth += 1;
        self.square = self.square << 1 | u64::from(text == b"[");
        self.write(text, !stands_off);
        self.glued = true;
        self.before = Before::Operator;
        if is_list && !self.full {
            self.push_list(false, depth + 1);
        }
    }

    fn close(&mut self, text: &[u8]) {
        self.end_rows();
        if let Some(list) = self.lists.last().copied()
            && !list.rows
            && list.depth == self.depth
        {
            self.end_element();
            self.lists.pop();
        }
        self.depth = self.depth.saturating_sub(1);
        self.square >>= 1;
        while self.lists.last().is_some_and(|list| list.depth > self.depth) {
            self.lists.pop();
        }
        self.write(text, true);
        self.before = Before::Operand;
        if self.lists.last().is_some_and(|list| list.rows && list.depth == self.depth) {
            self.end_element();
        }
    }

    fn comma(&mut self) {
        if self.lists.last().is_some_and(|list| !list.rows && list.depth == self.depth) {
            self.end_element();
        }
        self.write(b",", true);
        if let Some(list) = self.lists.last_mut()
            && !list.rows
            && list.depth == self.depth
        {
            list.current = None;
        }
        self.before = Before::Operator;
    }

    fn push_list(&mut self, rows: bool, depth: u32) {
        if self.lists.len() < LISTS {
            self.lists.push(List { depth, rows, previous: (0, 0), current: None });
        }
    }

    /// Ends the rows of a `VALUES` when something other than a row or a comma
    /// follows at their depth.
    fn end_rows(&mut self) {
        while self.lists.last().is_some_and(|list| list.rows && list.depth == self.depth) {
            self.lists.pop();
        }
    }

    /// Ends an element: one that equals the element before it is taken back.
    fn end_element(&mut self) {
        let end = self.out.len();
        let Some(list) = self.lists.last_mut() else { return };
        let Some(start) = list.current.take() else { return };
        let (previous_start, previous_end) = list.previous;
        if previous_end > previous_start && self.out[previous_start..previous_end] == self.out[start..end] {
            self.out.truncate(previous_end);
        } else {
            list.previous = (start, end);
        }
    }

    fn finish(mut self, cut: bool) -> String {
        while self.out.ends_with(b";") {
            self.out.pop();
        }
        if cut || self.full {
            // Rows of one statement are cut anywhere: back to the last whole one.
            if let Some(rows) = self.lists.iter().find(|list| list.rows && list.previous.1 > 0) {
                self.out.truncate(rows.previous.1);
            }
            // What clings to the next token does not cling to the mark.
            while matches!(self.out.last(), Some(b'(' | b'[' | b'.' | b':' | b' ')) {
                self.out.pop();
            }
            self.out.extend_from_slice(
                if self.out.is_empty() { CUT_MARK.trim_start() } else { CUT_MARK }.as_bytes(),
            );
        }
        String::from_utf8(self.out)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }
}
