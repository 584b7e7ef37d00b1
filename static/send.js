// Sends the form that carries an answer to an app. Without this script there is its button.
document.getElementById("answer").submit();
