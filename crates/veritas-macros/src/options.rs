//! The options of `#[profile]`.

use syn::{
    Expr, LitStr, Path, Token,
    parse::{Parse, ParseStream},
    punctuated::Punctuated,
    token::Paren,
};

/// Whose repetition is to be counted.
pub(crate) enum Arguments {
    /// Nobody asked.
    Unobserved,
    /// Every parameter; the word stands for its place in the source.
    All(proc_macro2::Span),
    /// These.
    Listed(Vec<Expr>),
}

/// The options of `#[profile]`.
pub(crate) struct Options {
    pub(crate) name: Option<LitStr>,
    pub(crate) arguments: Arguments,
    pub(crate) crate_path: Option<Path>,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut options = Self { name: None, arguments: Arguments::Unobserved, crate_path: None };
        while !input.is_empty() {
            options.parse_one(input)?;
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }
}

impl Options {
    fn parse_one(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        if input.peek(LitStr) {
            return self.set_name(input.parse()?);
        }
        if input.peek(Token![crate]) {
            let word = input.parse::<Token![crate]>()?;
            input.parse::<Token![=]>()?;
            if self.crate_path.replace(input.call(Path::parse_mod_style)?).is_some() {
                return Err(syn::Error::new(word.span, "`crate` is given twice"));
            }
            return Ok(());
        }
        let option: syn::Ident = input.parse()?;
        if option == "name" {
            input.parse::<Token![=]>()?;
            return self.set_name(input.parse()?);
        }
        if option == "arguments" {
            if !matches!(self.arguments, Arguments::Unobserved) {
                return Err(syn::Error::new(option.span(), "`arguments` is given twice"));
            }
            self.arguments = if input.peek(Paren) {
                let listed;
                syn::parenthesized!(listed in input);
                let listed = Punctuated::<Expr, Token![,]>::parse_terminated(&listed)?;
                Arguments::Listed(listed.into_iter().collect())
            } else {
                Arguments::All(option.span())
            };
            return Ok(());
        }
        Err(syn::Error::new(
            option.span(),
            format!(
                "unknown option `{option}`: there are `name = \"…\"`, `arguments`, `arguments(…)` and `crate = …`"
            ),
        ))
    }

    fn set_name(&mut self, name: LitStr) -> syn::Result<()> {
        if self.name.is_some() {
            return Err(syn::Error::new(name.span(), "the name is given twice"));
        }
        self.name = Some(name);
        Ok(())
    }
}
