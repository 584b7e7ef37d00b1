//! Forms as a browser without scripts sends them: with the fields that the page filled in.

use crate::support::Answer;
use crate::support::app::Browser;

/// The hidden and visible fields of the page's last form that are filled in, as a browser would send them.
pub fn fields(html: &str) -> Vec<(String, String)> {
    let form = html.rsplit("<form ").next().unwrap_or_default();
    let unescape = |text: &str| {
        let text = text.replace("&#34;", "\"").replace("&#60;", "<").replace("&#62;", ">").replace("&#39;", "'");
        text.replace("&#38;", "&")
    };
    let attribute = |tag: &str, name: &str| {
        let value = tag.split(&format!(" {name}=\"")).nth(1)?.split('"').next()?;
        Some(unescape(value))
    };
    let mut fields = Vec::new();
    for input in form.split("<input ").skip(1).map(|rest| format!(" {}", rest.split('>').next().unwrap_or_default())) {
        let is_box = input.contains("type=\"checkbox\"");
        if is_box && !input.contains(" checked") {
            continue;
        }
        // What has no name is not sent.
        let Some(name) = attribute(&input, "name") else { continue };
        fields.push((name, attribute(&input, "value").unwrap_or_default()));
    }
    for select in form.split("<select ").skip(1) {
        let name = attribute(&format!(" {select}"), "name").expect("a name");
        let options = || select.split("</select>").next().unwrap().split("<option ").skip(1);
        let is_chosen = |option: &&str| option.split('>').next().unwrap().contains("selected");
        let chosen = options().find(is_chosen).or_else(|| options().next()).expect("an option");
        fields.push((name, attribute(&format!(" {chosen}"), "value").unwrap()));
    }
    for area in form.split("<textarea ").skip(1) {
        let name = attribute(&format!(" {area}"), "name").expect("a name");
        let text = area.split_once('>').unwrap().1.split("</textarea>").next().unwrap();
        fields.push((name, unescape(text)));
    }
    fields
}

/// The form at `path`, as it is.
pub async fn form(browser: &Browser, path: &str) -> Vec<(String, String)> {
    fields(&browser.get(path).await.assert_status(200).text())
}

/// The same with this value of a field.
pub fn with(mut form: Vec<(String, String)>, name: &str, value: &str) -> Vec<(String, String)> {
    form.retain(|(known, _)| known != name);
    form.push((name.to_owned(), value.to_owned()));
    form
}

/// The same without a field.
pub fn without(mut form: Vec<(String, String)>, name: &str, value: &str) -> Vec<(String, String)> {
    let before = form.len();
    form.retain(|(known, given)| known != name || given != value);
    assert_eq!(form.len() + 1, before, "{name} was {value}");
    form
}

/// Sends a form.
pub async fn send(browser: &Browser, path: &str, form: &[(String, String)]) -> Answer {
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    browser.post_form(path, &form).await
}
