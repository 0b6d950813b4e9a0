use super::*;

fn shows(text: &str, problem: Problem) -> String {
    Problems::from(vec![problem]).render("f", text)
}
