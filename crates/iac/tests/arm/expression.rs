//! The part of ARM's expression language that the templates use, evaluated: what a deployment would be told.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};

/// A subscription that stands for any.
pub const SUBSCRIPTION: &str = "/subscriptions/00000000-0000-0000-0000-000000000001";

/// Where expressions are evaluated: a template with its parameters, in a resource group or (none) in the subscription itself.
pub struct Scope<'a> {
    pub template: &'a Json,
    pub parameters: Map<String, Json>,
    pub group: Option<String>,
    /// Every resource that was named by `resourceId`.
    pub named: RefCell<BTreeSet<String>>,
    /// Every resource that was asked for what it is once it is there.
    pub read: RefCell<BTreeSet<String>>,
    locals: RefCell<Map<String, Json>>,
}

impl<'a> Scope<'a> {
    pub fn new(template: &'a Json, parameters: Map<String, Json>, group: Option<String>) -> Self {
        Self {
            template,
            parameters,
            group,
            named: RefCell::default(),
            read: RefCell::default(),
            locals: RefCell::default(),
        }
    }

    /// A value with every expression in it evaluated.
    pub fn resolve(&self, value: &Json) -> Result<Json, String> {
        Ok(match value {
            Json::String(text) => self.text(text)?,
            Json::Array(items) => Json::Array(items.iter().map(|item| self.resolve(item)).collect::<Result<_, _>>()?),
            Json::Object(entries) => {
                // Names are evaluated too: an identity is named by its id.
                let name = |name: &String| match self.text(name)? {
                    Json::String(name) => Ok(name),
                    _ => Err("a name is a text".to_owned()),
                };
                let pair = |(key, value): (&String, &Json)| Ok((name(key)?, self.resolve(value)?));
                Json::Object(entries.iter().map(pair).collect::<Result<_, String>>()?)
            }
            other => other.clone(),
        })
    }

    fn text(&self, text: &str) -> Result<Json, String> {
        if let Some(literal) = text.strip_prefix("[[") {
            return Ok(format!("[{literal}").into());
        }
        let Some(inner) = text.strip_prefix('[') else { return Ok(text.into()) };
        let inner = inner.strip_suffix(']').ok_or_else(|| format!("does not close: {text}"))?;
        let mut parser = Parser { rest: inner };
        let parsed = parser.expression().map_err(|problem| format!("{problem}: {text}"))?;
        if !parser.rest.trim().is_empty() {
            return Err(format!("`{}` is left over: {text}", parser.rest));
        }
        self.value(&parsed).map_err(|problem| format!("{problem}: {text}"))
    }

    fn value(&self, expression: &Expression) -> Result<Json, String> {
        match expression {
            Expression::Literal(value) => Ok(value.clone()),
            Expression::Of(value, property) => {
                let (value, property) = (self.value(value)?, self.value(property)?);
                let found = match &property {
                    Json::String(name) => value.get(name),
                    Json::Number(index) => index.as_u64().and_then(|index| value.get(usize::try_from(index).ok()?)),
                    _ => None,
                };
                found.cloned().ok_or_else(|| format!("no {property} in {value}"))
            }
            Expression::Call(name, arguments) => self.call(name, arguments),
        }
    }

    fn call(&self, name: &str, arguments: &[Expression]) -> Result<Json, String> {
        // Only the branch that is taken is evaluated, and a lambda with each element.
        match (name, arguments) {
            ("if", [condition, yes, no]) => {
                let holds = self.value(condition)?.as_bool().ok_or("`if` wants a condition")?;
                return self.value(if holds { yes } else { no });
            }
            ("map", [items, Expression::Call(lambda, inner)]) if lambda == "lambda" => {
                let [Expression::Literal(Json::String(variable)), body] = &inner[..] else {
                    return Err("lambda".into());
                };
                let items = self.value(items)?;
                let each = items.as_array().ok_or("`map` wants an array")?.iter().map(|item| {
                    self.locals.borrow_mut().insert(variable.clone(), item.clone());
                    self.value(body)
                });
                return Ok(Json::Array(each.collect::<Result<_, _>>()?));
            }
            ("filter", [items, Expression::Call(lambda, inner)]) if lambda == "lambda" => {
                let [Expression::Literal(Json::String(variable)), body] = &inner[..] else {
                    return Err("lambda".into());
                };
                let items = self.value(items)?;
                let mut kept = Vec::new();
                for item in items.as_array().ok_or("`filter` wants an array")? {
                    self.locals.borrow_mut().insert(variable.clone(), item.clone());
                    if self.value(body)?.as_bool().ok_or("`filter` wants a condition")? {
                        kept.push(item.clone());
                    }
                }
                return Ok(Json::Array(kept));
            }
            _ => {}
        }
        let given: Vec<Json> = arguments.iter().map(|argument| self.value(argument)).collect::<Result<_, _>>()?;
        let texts: Vec<&str> = given.iter().map(|value| value.as_str().unwrap_or_default()).collect();
        let wrong = || format!("{name} of {given:?}");
        Ok(match (name, &given[..]) {
            ("parameters", [Json::String(name)]) => {
                self.parameters.get(name).cloned().ok_or_else(|| format!("no parameter {name}"))?
            }
            ("variables", [Json::String(name)]) => {
                self.resolve(self.template["variables"].get(name).ok_or_else(|| format!("no variable {name}"))?)?
            }
            ("lambdaVariables", [Json::String(name)]) => self.locals.borrow().get(name).cloned().ok_or_else(wrong)?,
            ("format", [Json::String(pattern), values @ ..]) => {
                let mut out = pattern.clone();
                for (index, value) in values.iter().enumerate() {
                    let text = value.as_str().ok_or_else(wrong)?;
                    out = out.replace(&format!("{{{index}}}"), text);
                }
                if out.contains('{') {
                    return Err(wrong());
                }
                out.into()
            }
            ("concat", [Json::Array(_), ..]) => {
                let all = given.iter().map(|items| items.as_array().ok_or_else(wrong));
                Json::Array(all.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().cloned().collect())
            }
            ("concat", [Json::String(_), ..]) => texts.concat().into(),
            ("join", [Json::Array(items), Json::String(between)]) => {
                let items: Option<Vec<&str>> = items.iter().map(Json::as_str).collect();
                items.ok_or_else(wrong)?.join(between).into()
            }
            ("replace", [Json::String(text), Json::String(from), Json::String(to)]) => text.replace(from, to).into(),
            ("string", [Json::Number(number)]) => number.to_string().into(),
            ("base64", [Json::String(text)]) => base64(text.as_bytes()).into(),
            ("empty", [value]) => {
                let size = value.as_str().map(str::len).or_else(|| value.as_array().map(Vec::len));
                (size.ok_or_else(wrong)? == 0).into()
            }
            ("equals", [one, other]) => (one == other).into(),
            ("less", [Json::Number(one), Json::Number(other)]) => (one.as_i64() < other.as_i64()).into(),
            ("not", [Json::Bool(value)]) => (!value).into(),
            ("or", [Json::Bool(one), Json::Bool(other)]) => (*one || *other).into(),
            ("null", []) => Json::Null,
            ("true", []) => true.into(),
            ("false", []) => false.into(),
            ("substring", [Json::String(text), Json::Number(from), Json::Number(length)]) => {
                let place =
                    |number: &serde_json::Number| number.as_u64().and_then(|number| usize::try_from(number).ok());
                let from = place(from).ok_or_else(wrong)?;
                let end = from + place(length).ok_or_else(wrong)?;
                text.get(from..end).ok_or_else(wrong)?.into()
            }
            ("createArray", items) => items.into(),
            ("createObject", pairs) if pairs.len().is_multiple_of(2) => {
                let pair = |pair: &[Json]| Some((pair[0].as_str()?.to_owned(), pair[1].clone()));
                Json::Object(pairs.chunks(2).map(pair).collect::<Option<_>>().ok_or_else(wrong)?)
            }
            ("contains", [Json::Array(items), item]) => items.contains(item).into(),
            ("indexOf", [Json::Array(items), item]) => {
                items.iter().position(|other| other == item).map_or(json!(-1), |index| json!(index))
            }
            ("subscription", []) => json!({
                "id": SUBSCRIPTION,
                "subscriptionId": SUBSCRIPTION.rsplit('/').next(),
                "tenantId": "00000000-0000-0000-0000-000000000002",
            }),
            ("resourceGroup", []) => {
                let group = self.group.as_ref().ok_or("there is no resource group")?;
                json!({"id": format!("{SUBSCRIPTION}/resourceGroups/{group}")})
            }
            ("guid", [_, ..]) if texts.iter().all(|text| !text.is_empty()) => guid(&texts).into(),
            ("extensionResourceId", [_, _, ..]) => resource_path(texts[0], &texts[1..]).ok_or_else(wrong)?.into(),
            ("subscriptionResourceId", [_, _, ..]) => resource_path(SUBSCRIPTION, &texts).ok_or_else(wrong)?.into(),
            ("resourceId", [_, _, ..]) => {
                let (group, of_type) = if texts[0].contains('/') {
                    (self.group.as_deref().ok_or("there is no resource group")?, &texts[..])
                } else {
                    (texts[0], &texts[1..])
                };
                let base = format!("{SUBSCRIPTION}/resourceGroups/{group}");
                let id = resource_path(&base, of_type).ok_or_else(wrong)?;
                self.named.borrow_mut().insert(id.clone());
                id.into()
            }
            ("reference", [Json::String(id), ..]) => {
                self.read.borrow_mut().insert(id.clone());
                json!({
                    "identity": {"principalId": format!("principal of {id}")},
                    "principalId": format!("principal of {id}"),
                    "clientId": format!("client of {id}"),
                    "dnsSettings": {"fqdn": format!("name of {id}")},
                    "frontendIPConfigurations": [{"properties": {"privateIPAddress": "10.0.0.4"}}],
                    // As Terraform's stub has it for every one.
                    "ipAddress": "192.0.2.1",
                    "oidcIssuerProfile": {"issuerURL": format!("https://issuer/{id}")},
                })
            }
            ("cidrSubnet", [Json::String(cidr), Json::Number(bits), Json::Number(index)]) => {
                subnet(cidr, bits.as_u64(), index.as_u64()).ok_or_else(wrong)?.into()
            }
            _ => return Err(wrong()),
        })
    }
}

/// `BASE/providers/NAMESPACE/TYPE/NAME/…` of a type and as many names as the type has parts.
fn resource_path(base: &str, of_type: &[&str]) -> Option<String> {
    let (namespace, kinds) = of_type.first()?.split_once('/')?;
    let kinds: Vec<&str> = kinds.split('/').collect();
    let names = &of_type[1..];
    if kinds.len() != names.len() || names.iter().any(|name| name.is_empty()) {
        return None;
    }
    let path: String = kinds.iter().zip(names).map(|(kind, name)| format!("/{kind}/{name}")).collect();
    Some(format!("{base}/providers/{namespace}{path}"))
}

/// The network of a length that is the index-th within another.
fn subnet(cidr: &str, bits: Option<u64>, index: Option<u64>) -> Option<String> {
    let (address, outer) = cidr.split_once('/')?;
    let (bits, index, outer) = (u32::try_from(bits?).ok()?, u32::try_from(index?).ok()?, outer.parse::<u32>().ok()?);
    let address: std::net::Ipv4Addr = address.parse().ok()?;
    let fits = bits >= outer && bits <= 32 && u64::from(index) < 1 << (bits - outer);
    fits.then(|| format!("{}/{bits}", std::net::Ipv4Addr::from(u32::from(address) + (index << (32 - bits)))))
}

/// Azure's is another hash, of the same form.
fn guid(texts: &[&str]) -> String {
    let hash = |seed: u64| {
        texts.join("|").bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    };
    let digits = format!("{:016x}{:016x}", hash(0xcbf2_9ce4_8422_2325), hash(0x1234_5678_9abc_def1));
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let all = chunk.iter().fold(0u32, |all, byte| all << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4usize {
            let letter = LETTERS[(all >> (18 - 6 * place)) as usize & 63];
            out.push(if place <= chunk.len() { letter as char } else { '=' });
        }
    }
    out
}

enum Expression {
    Literal(Json),
    Call(String, Vec<Expression>),
    Of(Box<Expression>, Box<Expression>),
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn expression(&mut self) -> Result<Expression, String> {
        self.rest = self.rest.trim_start();
        let mut found = match self.rest.chars().next() {
            Some('\'') => Expression::Literal(self.quoted()?.into()),
            Some(c) if c.is_ascii_digit() || c == '-' => {
                let end = self.rest.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(self.rest.len());
                let number: i64 = self.taken(end).parse().map_err(|_| "no number")?;
                Expression::Literal(number.into())
            }
            _ => {
                let name = self.word()?;
                self.expect('(')?;
                Expression::Call(name, self.arguments()?)
            }
        };
        loop {
            if self.rest.starts_with('.') {
                self.expect('.')?;
                found = Expression::Of(Box::new(found), Box::new(Expression::Literal(self.word()?.into())));
            } else if self.rest.starts_with('[') {
                self.expect('[')?;
                found = Expression::Of(Box::new(found), Box::new(self.expression()?));
                self.expect(']')?;
            } else {
                return Ok(found);
            }
        }
    }

    fn arguments(&mut self) -> Result<Vec<Expression>, String> {
        let mut all = Vec::new();
        self.rest = self.rest.trim_start();
        if self.rest.starts_with(')') {
            self.expect(')')?;
            return Ok(all);
        }
        loop {
            all.push(self.expression()?);
            self.rest = self.rest.trim_start();
            if self.rest.starts_with(',') {
                self.expect(',')?;
            } else {
                self.expect(')')?;
                return Ok(all);
            }
        }
    }

    /// A text in single quotes, in which two of them are one.
    fn quoted(&mut self) -> Result<String, String> {
        self.expect('\'')?;
        let mut out = String::new();
        loop {
            let end = self.rest.find('\'').ok_or("a quote does not close")?;
            out += self.taken(end);
            self.expect('\'')?;
            if !self.rest.starts_with('\'') {
                return Ok(out);
            }
            self.expect('\'')?;
            out.push('\'');
        }
    }

    fn word(&mut self) -> Result<String, String> {
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(self.rest.len());
        let word = self.taken(end);
        if word.is_empty() { Err(format!("a name expected before `{}`", self.rest)) } else { Ok(word.to_owned()) }
    }

    fn taken(&mut self, length: usize) -> &str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    fn expect(&mut self, expected: char) -> Result<(), String> {
        self.rest =
            self.rest.strip_prefix(expected).ok_or_else(|| format!("`{expected}` expected before `{}`", self.rest))?;
        Ok(())
    }
}
