//! `rollcall app test`.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::actions::app::App;
use crate::actions::applications::test::{Answer, Question, test};
use crate::actions::by::By;
use crate::cli::app::fields::age;
use crate::cli::{Outcome, misused, output, user};
use crate::domain::{Address, Method, Methods};

/// A request that nobody made.
#[derive(Args)]
pub(in crate::cli) struct TestArgs {
    /// Who, by username; -: nobody is signed in
    user: String,
    /// The address, such as https://app.example.com/admin
    url: String,
    /// The address that the request comes from; not known when not given
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// The method
    #[arg(long, default_value = "GET")]
    method: String,
    /// How the session was proved, separated by commas: pwd, otp, hwk, swk, user, mfa
    #[arg(long, default_value = "pwd", value_name = "METHODS")]
    methods: String,
    /// How long ago it was proved, such as 2h
    #[arg(long, default_value = "0", value_parser = age, value_name = "DURATION")]
    age: Duration,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(app: &App, args: TestArgs) -> Outcome {
    let known = Method::ALL.map(Method::as_str);
    if let Some(word) = args.methods.split([',', ' ']).find(|word| !word.is_empty() && !known.contains(word)) {
        return Err(misused(format!("--methods {word}: it is none of {}", known.join(", "))));
    }
    let from = match &args.from {
        Some(text) => Some(Address::parse(text).ok_or_else(|| misused(format!("--from {text} is not an address")))?),
        None => None,
    };
    let user = match args.user.as_str() {
        "-" => None,
        name => Some(user::find(app, name).await?.id),
    };
    let methods = Method::ALL.into_iter().filter(|method| args.methods.split([',', ' ']).any(|word| word == method.as_str()));
    let question = Question {
        user,
        url: args.url.clone(),
        method: args.method,
        from,
        methods: methods.fold(Methods::default(), Methods::with),
        age: Some(args.age),
    };
    let answer = test(app, By::Cli, &question).await?;
    if args.json {
        output::line(
            &json!({
                "application": answer.application.slug,
                "may": answer.is_open,
                "rules": answer.rules(),
                "readings": answer.readings,
                "missing": answer.missing(),
                "headers": answer.headers,
                "signed": answer.signed,
            })
            .to_string(),
        )?;
    } else {
        print(&answer, &args.user)?;
    }
    if answer.is_open { Ok(()) } else { Err(format!("{} may not open {}", args.user, args.url).into()) }
}

fn print(answer: &Answer, user: &str) -> Outcome {
    let may = match (answer.is_open, answer.judgement.decision.is_anonymous()) {
        (true, true) => "anyone may".to_owned(),
        (true, false) => format!("{user} may"),
        (false, _) => format!("{user} may not"),
    };
    output::line(&may)?;
    output::line(&format!("application: {}", answer.application.slug))?;
    output::line(&format!("decided by: {}", answer.rules().join(", ")))?;
    if answer.readings.len() > 1 {
        output::line(&format!("the path is read as: {}", answer.readings.join(" ")))?;
    }
    for missing in answer.missing() {
        output::line(&format!("missing: {missing}"))?;
    }
    for (name, value) in answer.shown_headers() {
        output::line(&format!("header: {name}: {value}"))?;
    }
    Ok(())
}
