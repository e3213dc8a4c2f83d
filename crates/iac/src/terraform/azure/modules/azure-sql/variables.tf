variable "name" {
  description = "Name of everything."
  type        = string
}

variable "resource_group" {
  description = "The region's resource group."
  type        = string
}

variable "location" {
  description = "Azure's name of the region."
  type        = string
}

variable "administrator" {
  description = "Entra group that administers the databases: no passwords."
  type        = object({ name = string, id = string })
}
